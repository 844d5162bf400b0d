//! Removes what a run leaves behind, however the run ends: a shell that waits for this process's end of a pipe to close.

use std::{
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{LazyLock, Mutex},
};

/// `dauphin-it`, `dauphin-faults` or `dauphin-routing`, by the test program that runs: the label of every container of its tests, whose value is
/// the process's id, and what the names of their networks begin with.
pub static LABEL: LazyLock<String> = LazyLock::new(|| {
    let program = std::env::current_exe().expect("the system knows what it runs");
    let program = program.file_name().and_then(|name| name.to_str()).expect("cargo's names are text");
    format!("dauphin-{}", program.split('-').next().unwrap_or(program))
});

/// Reads ids of dauphin processes until the tests have ended; then ends those that still run and removes the containers.
const SCRIPT: &str = r#"
directory=$1 run=$2 label=$3
while read -r line; do running="$running $line"; done
for process in $running; do
  case "$(readlink "/proc/$process/exe")" in */dauphin*) kill "$process" ;; esac
done
docker ps -aq --filter "label=$label=$run" | xargs -r docker rm -fv
docker network ls -q --filter "name=^$label-$run-" | xargs -r docker network rm
rm -rf "$directory"
"#;

/// What earlier runs that were killed together with their reaper have left.
const LEFTOVERS: &str = r#"
label=$1
docker ps -a --filter "label=$label" --format "{{.ID}} {{.Label \"$label\"}}" | while read -r container run; do
  case "$(readlink "/proc/$run/exe")" in */"${label#dauphin-}"-*) ;; *) docker rm -fv "$container" ;; esac
done
docker network ls --filter "name=^$label-" --format '{{.Name}}' | while read -r network; do
  run=${network#"$label"-}
  case "$(readlink "/proc/${run%%-*}/exe")" in */"${label#dauphin-}"-*) ;; *) docker network rm "$network" ;; esac
done
"#;

struct Reaper {
    directory: PathBuf,
    child: Mutex<Child>,
}

static REAPER: LazyLock<Reaper> = LazyLock::new(|| {
    let run = std::process::id().to_string();
    let _ = shell(LEFTOVERS, &[&LABEL]).status();
    let directory = std::env::temp_dir().join(format!("{}-{run}", *LABEL));
    std::fs::create_dir_all(&directory).expect("the directory for temporary files is writable");
    let arguments = [directory.to_str().expect("a temporary directory's name is text"), &run, &LABEL];
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
