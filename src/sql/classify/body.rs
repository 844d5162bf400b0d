//! The bodies of stored programs: what may be in them at all, and whether they have nothing but reads.
//!
//! Two readers with opposite leanings. [`Glance`] looks at every token and leaves nothing out that may be a lock or a
//! change of state; [`Reader`] follows the grammar and gives up at the first thing that it does not know.

use std::collections::HashSet;

use super::body_reads::Reader;
use super::program::called;
use crate::sql::called::{Called, Kind as CalledKind};
use crate::sql::change::Code;
use crate::sql::cursor::{Cursor, unquoted};
use crate::sql::lexer::{Kind, Token};
use crate::sql::syntax::Syntax;
use crate::sql::words::{Call, Impure, Keyword};

/// The source of a stored program.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    /// Its body, as the catalogue shows it.
    pub body: &'a str,
    /// The names of its parameters.
    pub parameters: &'a [Box<str>],
}

/// What a stored program does, apart from what it calls.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// What it may leave on its connection.
    pub code: Code,
    /// Whether it may change rows.
    pub may_write: bool,
    /// All names in it, lower-cased, the tables' among them.
    pub names: HashSet<Box<str>>,
    /// What it may call; some of it may be names of other things.
    pub calls: Vec<Called>,
    /// If it does nothing but read, what it reads.
    pub reads: Option<Reads>,
}

/// What a stored program reads that does nothing else, apart from what it calls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Reads {
    /// The functions that it calls.
    pub calls: Vec<Called>,
    /// The lower-cased unqualified names of the tables.
    pub tables: Vec<Box<str>>,
}

/// Reads a body as the server does under `syntax`. Takes time linear in its length.
pub fn read_body(program: Program<'_>, syntax: &Syntax) -> Body {
    let syntax = Syntax { multi_statements: true, ..*syntax };
    let mut body = Glance::at(program, &syntax);
    if body.code == Code::NOTHING && !body.may_write {
        body.reads = Reader::read(program, &syntax);
    }
    body
}

/// Looks at every token of a body.
struct Glance<'a> {
    cursor: Cursor<'a>,
    body: Body,
    locals: HashSet<String>,
    /// The name that comes is a procedure's.
    is_calling: bool,
    /// The names that come are declared.
    is_declaring: bool,
    /// The names that come get values: INTO's, and arguments of CALL or GET DIAGNOSTICS to the end of the statement.
    in_into: bool,
    in_arguments: bool,
    /// A statement has begun in which SET is a clause.
    in_change: bool,
    /// A SET has begun, so many parentheses are open in it, and the next name is what it sets.
    in_set: Option<(u32, bool)>,
}

impl<'a> Glance<'a> {
    fn at(program: Program<'a>, syntax: &Syntax) -> Body {
        let body = Body {
            code: Code::NOTHING,
            may_write: false,
            names: HashSet::new(),
            calls: Vec::new(),
            reads: None,
        };
        let mut glance = Self {
            cursor: Cursor::new(program.body.as_bytes(), syntax),
            body,
            locals: program.parameters.iter().map(|name| name.to_lowercase()).collect(),
            is_calling: false,
            is_declaring: false,
            in_into: false,
            in_arguments: false,
            in_change: false,
            in_set: None,
        };
        while glance.cursor.token.kind != Kind::End {
            glance.look();
            glance.cursor.step();
        }
        if glance.cursor.fault() {
            glance.body.code = Code::UNKNOWN;
            glance.body.may_write = true;
        }
        glance.body
    }

    fn look(&mut self) {
        let token = self.cursor.token;
        match token.kind {
            Kind::Punctuation(b';') => {
                (self.in_arguments, self.in_change, self.in_set) = (false, false, None);
            }
            Kind::UserVariable => {
                self.body.code.may_set = true;
                self.body.code.may_assign |=
                    self.in_into || self.in_arguments || self.cursor.next.kind == Kind::Assign;
            }
            Kind::SystemVariable => self.body.code.may_set = true,
            Kind::Word | Kind::Name => self.name_or_word(),
            _ => {}
        }
        // `INSERT INTO t VALUES (@x)` only reads it: the list ends where no comma is.
        let joins = |token: &Token| {
            token.is(Keyword::Into) || token.is_punctuation(b',') || token.is_punctuation(b'.')
        };
        self.in_into =
            token.is(Keyword::Into) || self.in_into && (joins(&token) || joins(&self.cursor.previous));
        self.set(token.kind);
    }

    fn name_or_word(&mut self) {
        if self.cursor.token.kind == Kind::Name || self.cursor.token.word.is_none_or(|word| !word.suspicious)
        {
            self.body.names.insert(unquoted(self.cursor.here()).to_ascii_lowercase().into());
        }
        if std::mem::take(&mut self.is_declaring) {
            self.locals.insert(unquoted(self.cursor.here()).to_lowercase());
            // `DECLARE a, b INT`
            self.is_declaring = self.cursor.next.is_punctuation(b',');
        }
        if self.is_calling && !self.cursor.next.is_punctuation(b'.') {
            self.is_calling = false;
            return self.body.calls.push(called(&self.cursor, CalledKind::Procedure));
        }
        if self.cursor.next.is_punctuation(b'(') {
            self.parenthesised();
        }
        if self.cursor.token.kind == Kind::Word {
            self.word();
        }
    }

    fn parenthesised(&mut self) {
        let gap = self.cursor.next.gap;
        let word = self.cursor.token.word;
        match word.map_or(Call::Stored, |word| word.call(&self.cursor.syntax, gap)) {
            Call::Impure(Impure::NamedLock) => self.body.code.may_lock = true,
            Call::Stored => self.body.calls.push(called(&self.cursor, CalledKind::Function)),
            Call::Impure(_) | Call::Harmless => {}
        }
    }

    fn word(&mut self) {
        let is_call = self.cursor.next.is_punctuation(b'(');
        match self.cursor.token.keyword() {
            // The text that is run is not known.
            Keyword::Prepare | Keyword::Execute | Keyword::Immediate => {
                self.body.code = Code::UNKNOWN;
                self.body.may_write = true;
            }
            Keyword::Temporary => {
                self.body.code.may_set = true;
                self.body.code.may_create |= !self.cursor.previous.is(Keyword::Drop);
            }
            Keyword::Call => (self.is_calling, self.in_arguments) = (true, true),
            Keyword::Get if self.cursor.next.kind == Kind::Word => self.in_arguments = true,
            Keyword::Declare => self.is_declaring = true,
            Keyword::Begin | Keyword::Do | Keyword::Loop => self.in_change = false,
            Keyword::Insert | Keyword::Update | Keyword::Delete | Keyword::Replace | Keyword::Load
                if !is_call =>
            {
                self.body.may_write = true;
                self.in_change = true;
            }
            Keyword::Signal | Keyword::Resignal => self.in_change = true,
            Keyword::Set if !self.in_change && !is_character_set(&self.cursor) => {
                self.in_set = Some((0, false));
            }
            Keyword::None if self.is_here("then") || self.is_here("else") => self.in_change = false,
            _ => {}
        }
    }

    fn is_here(&self, word: &str) -> bool {
        self.cursor.here().eq_ignore_ascii_case(word.as_bytes())
    }

    /// Follows a SET: whatever is not the body's own may be the session's.
    fn set(&mut self, kind: Kind) {
        let Some((depth, expects_name)) = &mut self.in_set else { return };
        if *expects_name {
            *expects_name = false;
            let of_row = self.cursor.token.is(Keyword::New) || self.cursor.next.is_punctuation(b'.');
            let name = unquoted(self.cursor.here()).to_lowercase();
            self.body.code.may_set |= !of_row && !self.locals.contains(&name);
            return;
        }
        match kind {
            Kind::Punctuation(b'(') => *depth += 1,
            Kind::Punctuation(b')') => *depth = depth.saturating_sub(1),
            Kind::Punctuation(b',') if *depth == 0 => *expects_name = true,
            Kind::Word if self.cursor.token.is(Keyword::Set) => *expects_name = true,
            _ => {}
        }
    }
}

fn is_character_set(cursor: &Cursor<'_>) -> bool {
    matches!(cursor.previous.keyword(), Keyword::Character | Keyword::Char)
}
