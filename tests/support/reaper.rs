//! Removes what a run leaves behind, however the run ends: a shell that waits for this process's end of a pipe to close.

use std::{
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{LazyLock, Mutex},
};

/// The label of every container of these tests; its value is the test process's id.
pub const LABEL: &str = "dauphin-it";

/// Reads ids of dauphin processes until the tests have ended; then ends those that still run and removes the containers.
const SCRIPT: &str = r#"
directory=$1 run=$2
while read -r line; do running="$running $line"; done
for process in $running; do
  case "$(readlink "/proc/$process/exe")" in */dauphin*) kill "$process" ;; esac
done
docker ps -aq --filter "label=dauphin-it=$run" | xargs -r docker rm -fv
docker network ls -q --filter "name=^dauphin-it-$run-" | xargs -r docker network rm
rm -rf "$directory"
"#;

/// What earlier runs that were killed together with their reaper have left.
const LEFTOVERS: &str = r#"
docker ps -a --filter label=dauphin-it --format '{{.ID}} {{.Label "dauphin-it"}}' | while read -r container run; do
  case "$(readlink "/proc/$run/exe")" in */it-*) ;; *) docker rm -fv "$container" ;; esac
done
docker network ls --filter name=^dauphin-it- --format '{{.Name}}' | while read -r network; do
  run=${network#dauphin-it-}
  case "$(readlink "/proc/${run%%-*}/exe")" in */it-*) ;; *) docker network rm "$network" ;; esac
done
"#;

struct Reaper {
    directory: PathBuf,
    child: Mutex<Child>,
}

static REAPER: LazyLock<Reaper> = LazyLock::new(|| {
    let run = std::process::id().to_string();
    let _ = shell(LEFTOVERS, &[]).status();
    let directory = std::env::temp_dir().join(format!("dauphin-it-{run}"));
    std::fs::create_dir_all(&directory).expect("the directory for temporary files is writable");
    let arguments = [directory.to_str().expect("a temporary directory's name is text"), &run];
    let child = shell(SCRIPT, &arguments).stdin(Stdio::piped()).process_group(0).spawn().expect("sh starts");
    Reaper { directory, child: Mutex::new(child) }
});

fn shell(script: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script, "reaper"]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// A directory that is removed when the tests end.
pub fn directory() -> &'static Path {
    &REAPER.directory
}

/// Ends this process when the tests end, if it still runs.
pub fn watch(process: u32) {
    let mut child = REAPER.child.lock().expect("nothing panics in here");
    let pipe = child.stdin.as_mut().expect("it was asked for");
    writeln!(pipe, "{process}").expect("the reaper waits for the tests to end");
}
