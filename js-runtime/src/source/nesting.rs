//! The room on the stack that code wants by its nesting. Parsing, visiting, printing and dropping a syntax tree
//! recurse as deep as the tree is, and a stack that overflows ends the process.
//!
//! A text has its room before anything walks it. A short text gets the room that the worst text of its length wants.
//! The depth of a long text is measured: by a parser that looks at its own stack before each token, then by a visitor
//! that counts levels, since operators and calls that follow each other make a tree deeper than the parser was. A
//! text that wants more room than there is gets refused at the place where it goes too deep.
//!
//! Rooms are virtual: the system commits the used part, and has it back when the work is done.

use std::cell::Cell;
use std::rc::Rc;

use deno_ast::swc::ast::{
    Class, Expr, JSXElement, JSXFragment, JSXMemberExpr, Pat, Program, Stmt, TsNamespaceDecl, TsQualifiedName, TsType,
};
use deno_ast::swc::common::{BytePos, Spanned};
use deno_ast::swc::ecma_visit::{Visit, VisitWith};
use deno_ast::swc::lexer::common::context::Context;
use deno_ast::swc::lexer::common::input::Tokens;
use deno_ast::swc::lexer::error::Error;
use deno_ast::swc::lexer::lexer::{TokenContexts, TokenFlags};
use deno_ast::swc::lexer::token::TokenAndSpan;
use deno_ast::swc::lexer::{Lexer, Parser, StringInput, SyntaxFlags};
use deno_ast::{ES_VERSION, MediaType, get_syntax};
use memmap2::MmapMut;

use crate::system::contained::contained;

/// The factor for everything but the parser, which wants more without optimisation.
const FACTOR: usize = if cfg!(debug_assertions) { 3 } else { 1 };

/// The stack that a byte of text wants at most, in bytes. Parentheses around types are the worst: 1,870.
const BY_BYTE: usize = 3 << 10;

/// The same for a level of a tree that is there: 600 for most, 2,360 for elements, which become calls.
const BY_LEVEL: usize = FACTOR * 1280;
const BY_CLASS: usize = FACTOR * 1280;
const BY_ELEMENT: usize = FACTOR * (4 << 10);

/// The same for a byte of text whose tree is only dropped.
const BY_DROPPED_BYTE: usize = FACTOR * 160;

/// The same for a byte of data.
const BY_DATA_BYTE: usize = FACTOR << 10;

/// The limit for one text, in bytes.
const MOST: usize = 512 << 20;

/// The stack that native code wants whatever the text is.
const BASE: usize = 1 << 20;

/// The factor by which the parser may use more of the stack than the one that measures, unless levels say more.
const MARGIN: usize = 3;

/// The stack for everything that walks the tree of one text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct StackRoom(usize);

/// A text that wants more room than there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NestingError {
    /// The byte at which it goes too deep.
    pub(crate) offset: usize,
}

impl StackRoom {
    /// Returns the room for a text.
    ///
    /// # Errors
    /// When the text is nested too deeply.
    pub(crate) fn of(text: &str, media_type: MediaType) -> Result<Self, NestingError> {
        Self::within(MOST, text, media_type)
    }

    /// Returns the same where there is less room.
    pub(crate) fn within(most: usize, text: &str, media_type: MediaType) -> Result<Self, NestingError> {
        let by_length = BASE + text.len().saturating_mul(BY_BYTE);
        if by_length <= most && is_there(by_length) {
            return Ok(Self(by_length));
        }
        let mut halves = std::iter::successors(Some(most), |most| Some(most / 2));
        let most = halves.find(|most| is_there(*most) || *most < BASE).unwrap_or(BASE);
        measured(most, text, media_type).map(Self)
    }

    /// Returns the room for the parsed form of a text of data, each byte of which may be a level; `None` when there
    /// is not so much room.
    pub(crate) fn of_data(text: &str) -> Option<Self> {
        let room = BASE + text.len().saturating_mul(BY_DATA_BYTE);
        is_there(room).then_some(Self(room))
    }

    /// Does work on a stack with this room.
    pub(crate) fn run<T>(self, work: impl FnOnce() -> T) -> T {
        stacker::maybe_grow(self.0, self.0, work)
    }
}

/// Parses a text of data, each byte of which may be a level, on a stack with room for it. Returns nothing where there
/// is not so much room.
///
/// ```no_run
/// let parsed = js_runtime::run_with_room_for("[[[]]]", || serde_json::Value::Null);
/// assert!(parsed.is_some());
/// ```
pub fn run_with_room_for<T>(text: &str, parse: impl FnOnce() -> T) -> Option<T> {
    Some(StackRoom::of_data(text)?.run(parse))
}

/// Tells whether the system gives so much memory. It is asked before a stack is made, since making the stack must not
/// fail.
fn is_there(length: usize) -> bool {
    if stacker::remaining_stack().is_some_and(|left| left >= length) {
        return true;
    }
    // It is given back at once.
    MmapMut::map_anon(length).is_ok()
}

/// Measures the room that a text wants.
fn measured(most: usize, text: &str, media_type: MediaType) -> Result<usize, NestingError> {
    // A tree may be as deep as its text is long, until it is known not to be.
    let room = most.max(text.len().saturating_mul(BY_DROPPED_BYTE)) + BASE;
    if !is_there(room) {
        return Err(NestingError { offset: 0 });
    }
    stacker::grow(room, || {
        let watch = Rc::new(StackWatch {
            least: Cell::new(usize::MAX),
            stops_below: room - most / MARGIN,
            stopped_at: Cell::default(),
        });
        let end = BytePos(u32::try_from(text.len()).unwrap_or(u32::MAX - 1) + 1);
        let input = StringInput::new(text, BytePos(1), end);
        let lexer = Lexer::new(get_syntax(media_type), ES_VERSION, input, None);
        let before = stacker::remaining_stack().unwrap_or(room);
        let mut parser = Parser::new_from(WatchedLexer {
            lexer,
            watch: watch.clone(),
        });
        // The parser may panic, or go on, at a place where tokens end in the middle of something.
        let program = contained(|| match media_type {
            MediaType::Cjs => parser.parse_script().map(Program::Script),
            MediaType::Cts | MediaType::Mjs | MediaType::Mts => parser.parse_module().map(Program::Module),
            _ => parser.parse_program(),
        });
        if let Some(at) = watch.stopped_at.get() {
            return Err(too_deep(at));
        }
        let by_parser = before.saturating_sub(watch.least.get()).saturating_mul(MARGIN);
        let by_levels = match program {
            Ok(Ok(program)) => wanted(&program, most)?,
            // The nodes parsed until then are dropped, in the same way.
            Ok(Err(_)) | Err(_) => text.len().saturating_mul(BY_DROPPED_BYTE),
        };
        Ok((BASE + by_parser).max(by_levels))
    })
}

fn too_deep(at: BytePos) -> NestingError {
    NestingError {
        offset: (at.0 as usize).saturating_sub(1),
    }
}

/// The state of the stack while it is measured.
struct StackWatch {
    least: Cell<usize>,
    stops_below: usize,
    stopped_at: Cell<Option<BytePos>>,
}

/// A lexer whose tokens end where the parser is too deep.
#[derive(Clone)]
struct WatchedLexer<'a> {
    lexer: Lexer<'a>,
    watch: Rc<StackWatch>,
}

impl Iterator for WatchedLexer<'_> {
    type Item = TokenAndSpan;

    fn next(&mut self) -> Option<TokenAndSpan> {
        let left = stacker::remaining_stack().unwrap_or(0);
        self.watch.least.set(self.watch.least.get().min(left));
        if self.watch.stopped_at.get().is_some() {
            return None;
        }
        let token = self.lexer.next()?;
        if left < self.watch.stops_below {
            self.watch.stopped_at.set(Some(token.span.lo));
            return None;
        }
        Some(token)
    }
}

impl Tokens<TokenAndSpan> for WatchedLexer<'_> {
    type Checkpoint = Self;

    fn set_ctx(&mut self, context: Context) {
        self.lexer.set_ctx(context);
    }

    fn ctx(&self) -> Context {
        self.lexer.ctx()
    }

    fn ctx_mut(&mut self) -> &mut Context {
        self.lexer.ctx_mut()
    }

    fn syntax(&self) -> SyntaxFlags {
        self.lexer.syntax()
    }

    fn target(&self) -> deno_ast::swc::ast::EsVersion {
        self.lexer.target()
    }

    fn checkpoint_save(&self) -> Self {
        self.clone()
    }

    fn checkpoint_load(&mut self, checkpoint: Self) {
        *self = checkpoint;
    }

    fn start_pos(&self) -> BytePos {
        self.lexer.start_pos()
    }

    fn set_expr_allowed(&mut self, allow: bool) {
        self.lexer.set_expr_allowed(allow);
    }

    fn set_next_regexp(&mut self, start: Option<BytePos>) {
        self.lexer.set_next_regexp(start);
    }

    fn token_context(&self) -> &TokenContexts {
        self.lexer.token_context()
    }

    fn token_context_mut(&mut self) -> &mut TokenContexts {
        self.lexer.token_context_mut()
    }

    fn set_token_context(&mut self, contexts: TokenContexts) {
        self.lexer.set_token_context(contexts);
    }

    fn add_error(&mut self, error: Error) {
        self.lexer.add_error(error);
    }

    fn add_module_mode_error(&mut self, error: Error) {
        self.lexer.add_module_mode_error(error);
    }

    fn end_pos(&self) -> BytePos {
        self.lexer.end_pos()
    }

    fn take_errors(&mut self) -> Vec<Error> {
        self.lexer.take_errors()
    }

    fn take_script_module_errors(&mut self) -> Vec<Error> {
        self.lexer.take_script_module_errors()
    }

    fn update_token_flags(&mut self, update: impl FnOnce(&mut TokenFlags)) {
        self.lexer.update_token_flags(update);
    }

    fn token_flags(&self) -> TokenFlags {
        self.lexer.token_flags()
    }
}

/// Adds up the levels of a tree, in bytes of stack.
///
/// # Errors
/// When that is more than `most`.
fn wanted(program: &Program, most: usize) -> Result<usize, NestingError> {
    let mut counting = DepthCounter {
        most,
        now: BASE,
        deepest: BASE,
        stopped_at: None,
    };
    program.visit_with(&mut counting);
    match counting.stopped_at {
        Some(at) => Err(too_deep(at)),
        None => Ok(counting.deepest),
    }
}

struct DepthCounter {
    most: usize,
    now: usize,
    deepest: usize,
    stopped_at: Option<BytePos>,
}

impl DepthCounter {
    fn level<N: Spanned + VisitWith<Self>>(&mut self, wants: usize, node: &N) {
        if self.stopped_at.is_some() {
            return;
        }
        if self.now + wants > self.most {
            // The place is the end of the innermost node: chains lean to the left.
            self.stopped_at = Some(node.span_hi());
            return;
        }
        self.now += wants;
        self.deepest = self.deepest.max(self.now);
        node.visit_children_with(self);
        self.now -= wants;
    }
}

/// Visits the nodes of which every circle in the grammar has one.
impl Visit for DepthCounter {
    fn visit_expr(&mut self, node: &Expr) {
        self.level(BY_LEVEL, node);
    }

    fn visit_stmt(&mut self, node: &Stmt) {
        self.level(BY_LEVEL, node);
    }

    fn visit_pat(&mut self, node: &Pat) {
        self.level(BY_LEVEL, node);
    }

    fn visit_class(&mut self, node: &Class) {
        self.level(BY_CLASS, node);
    }

    fn visit_ts_type(&mut self, node: &TsType) {
        self.level(BY_LEVEL, node);
    }

    fn visit_ts_qualified_name(&mut self, node: &TsQualifiedName) {
        self.level(BY_LEVEL, node);
    }

    fn visit_ts_namespace_decl(&mut self, node: &TsNamespaceDecl) {
        self.level(BY_LEVEL, node);
    }

    fn visit_jsx_element(&mut self, node: &JSXElement) {
        self.level(BY_ELEMENT, node);
    }

    fn visit_jsx_fragment(&mut self, node: &JSXFragment) {
        self.level(BY_ELEMENT, node);
    }

    fn visit_jsx_member_expr(&mut self, node: &JSXMemberExpr) {
        self.level(BY_LEVEL, node);
    }
}

#[cfg(test)]
mod tests {
    use deno_ast::MediaType;
    use deno_core::url::Url;

    use js_runtime_api::LoadError;

    use super::{MOST, StackRoom};
    use crate::prelude::findings;
    use crate::source::effects::ModuleEffects;
    use crate::source::transpile::{self, EmitKind};
    use crate::source::tsconfig::CompilerOptions;

    /// The parts of each shape: a text before, a repeated text, the innermost text, and the text that closes each
    /// repeated one.
    const SHAPES: [[&str; 4]; 23] = [
        ["x=", "[", "", "]"],
        ["x=", "(", "1", ")"],
        ["x=", "[1,", "", "]"],
        ["x=", "f(", "", ")"],
        ["x=", "{a:", "1", "}"],
        ["x=", "`${", "1", "}`"],
        ["x=", "()=>{", "", "}"],
        ["x=", "class{m(){return ", "1", "}}"],
        ["x=", "!", "1", ""],
        ["x=", "a?b:", "1", ""],
        ["x=", "a=>", "1", ""],
        ["x=a", ".a()", "", ""],
        ["x=a", "``", "", ""],
        ["x=1", "+1", "", ""],
        ["x='a'", "+'b'", "", ""],
        ["x=a", "||b", "", ""],
        ["", "{", "", "}"],
        ["", "if(a);else ", ";", ""],
        ["let ", "[", "a", "]"],
        ["type X=", "A<", "B", ">"],
        ["type X=", "(", "1", ")"],
        ["let x:A", "[]", "", ""],
        ["let x:A", ".B", "", ""],
    ];

    fn nested([before, open, middle, close]: [&str; 4], times: usize) -> String {
        let end = if before == "let " { "=1" } else { "" };
        let (open, close) = (open.repeat(times), close.repeat(times));
        format!("export {{}}; {before}{open}{middle}{close}{end};\n")
    }

    /// Does work on a small stack, such as that of a thread that looks at edited files.
    fn on_a_small_stack<T: Send>(work: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = std::thread::Builder::new().stack_size(2 << 20);
            thread.spawn_scoped(scope, work).unwrap().join().unwrap()
        })
    }

    fn loads(most: usize, media_type: MediaType, text: &str) -> Result<(), LoadError> {
        let url = Url::parse("file:///p/a.ts").unwrap();
        on_a_small_stack(|| {
            let room = StackRoom::within(most, text, media_type);
            let room = room.map_err(|too_deep| transpile::nested_too_deeply(&url, text, too_deep))?;
            let parsed = transpile::parse_in(room, &url, media_type, text.into(), |_| {})?;
            findings::look(&parsed);
            ModuleEffects::of(&parsed);
            transpile::emit(&url, parsed, EmitKind::Cjs, &CompilerOptions::default()).map(drop)
        })
    }

    #[test]
    fn code_of_any_nesting_is_parsed_or_refused_with_its_place() {
        for shape in SHAPES {
            let text = nested(shape, 1500);
            loads(MOST, MediaType::TypeScript, &text).unwrap_or_else(|error| panic!("{shape:?}: {error:?}"));
            // For limits that the text's length alone would exceed, the measured need counts.
            for most in [64 << 20, 8 << 20, 2 << 20] {
                if let Err(error) = loads(most, MediaType::TypeScript, &text) {
                    assert_eq!((error.message.as_str(), error.line), (MESSAGE, Some(1)), "{shape:?}");
                }
            }
        }
        for most in [MOST, 4 << 20] {
            let elements = nested(["x=", "<a>", "", "</a>"], 200);
            loads(most, MediaType::Tsx, &elements).unwrap();
        }
    }

    const MESSAGE: &str = "the code is nested too deeply to be parsed";

    #[test]
    fn operators_that_follow_each_other_are_no_nesting_to_those_who_write_them() {
        for shape in [["x=1", "+1", "", ""], ["x=a", "||b", "", ""]] {
            loads(MOST, MediaType::TypeScript, &nested(shape, 24_000)).unwrap();
        }
        let error = loads(MOST, MediaType::TypeScript, &nested(["\n\nx=1", "+1", "", ""], 500_000)).unwrap_err();
        assert_eq!((error.message.as_str(), error.line), (MESSAGE, Some(3)));
    }

    #[test]
    fn a_long_text_wants_the_room_of_its_tree_and_not_of_its_length() {
        let text = "export const a = [f(1), { b: 'c' }];\n".repeat(20_000);
        let room = StackRoom::of(&text, MediaType::TypeScript).unwrap();
        assert!(room < StackRoom(16 << 20), "{room:?}");
        // This holds also where the end is wrong, and where nothing is.
        StackRoom::of(&format!("{text}a b"), MediaType::TypeScript).unwrap();
        assert_eq!(StackRoom::of("", MediaType::TypeScript), Ok(StackRoom(super::BASE)));
    }
}
