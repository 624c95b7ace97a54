//! Messages of Rust sources: the texts of errors that `thiserror` derives, of values with a message and a help, and of
//! lines of the log.

use std::collections::HashMap;

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Expr, Pat};

use super::text::{apart_from_help, names_fault, of_format};
use super::{Kind, Message};

/// Functions whose arguments are a message and perhaps a help: the end of the name, the kind of the message, the place
/// of the message and that of the help.
const CALLS: &[(&str, Kind, usize, Option<usize>)] = &[
    ("Finding::new", Kind::Finding, 1, Some(2)),
    ("answer::error", Kind::Answer, 1, Some(2)),
    ("warning::warning", Kind::Lint, 3, Some(4)),
    ("warning", Kind::Lint, 3, Some(4)),
    ("Failure::new", Kind::Error, 1, None),
    ("JsErrorBox::generic", Kind::Thrown, 0, None),
    ("JsErrorBox::type_error", Kind::Thrown, 0, None),
    ("JsErrorBox::range_error", Kind::Thrown, 0, None),
    ("JsErrorBox::new", Kind::Thrown, 1, None),
    ("io::Error::other", Kind::Error, 0, None),
    ("io::Error::new", Kind::Error, 1, None),
    (BUG, Kind::Load, 0, None),
    ("notice", Kind::Page, 1, Some(2)),
    ("refuse", Kind::Page, 1, None),
    ("refused", Kind::Printed, 0, Some(1)),
    ("Err", Kind::Error, 0, None),
];

/// Sources that write lines for people: a line of theirs that names a fault is a message.
const PRINTING: [&str; 9] = [
    "host/src/cli/init/mod.rs",
    "host/src/cli/invoke/home.rs",
    "host/src/cli/invoke/mod.rs",
    "host/src/cli/invoke/screen.rs",
    "host/src/cli/invoke/text.rs",
    "host/src/cli/reload.rs",
    "host/src/cli/status.rs",
    "host/src/generation/report_words.rs",
    "host/src/life/dev_screen.rs",
];

/// Sources of lines that are parts of other messages, which have the help.
const PARTS: [&str; 3] = [
    "host/src/registration/drift.rs",
    "host/src/status/registration_words.rs",
    "host/src/watch/limit.rs",
];

/// The function that makes the error of a load which is a fault of Baton; the help of all of these is known under it.
const BUG: &str = "LoadError::bug";

/// The texts of constants and variables, by name.
pub(super) type Texts = HashMap<String, Vec<String>>;

/// Reads the messages of a source; `constants` are those that other sources have.
pub(super) fn messages(place: &str, source: &str, constants: &Texts) -> Vec<Message> {
    let mut reader = Reader::new(place, constants.clone());
    reader.visit_file(&parsed(place, source));
    reader.found
}

/// Reads the texts of the constants of a source.
pub(super) fn constants(place: &str, source: &str) -> Texts {
    let mut reader = Reader::new(place, Texts::new());
    reader.visit_file(&parsed(place, source));
    reader.constants
}

/// Reads every text of a source outside of its tests.
pub(super) fn texts(place: &str, source: &str) -> Vec<String> {
    let mut all = AllTexts(Vec::new());
    all.visit_file(&parsed(place, source));
    all.0
}

/// Collects every text.
struct AllTexts(Vec<String>);

impl AllTexts {
    fn in_tokens(&mut self, tokens: TokenStream) {
        for token in tokens {
            match token {
                TokenTree::Group(group) => self.in_tokens(group.stream()),
                TokenTree::Literal(_) => {
                    let text = syn::parse2::<syn::LitStr>(token.into());
                    self.0.extend(text.ok().map(|text| text.value()));
                }
                _ => {}
            }
        }
    }
}

impl<'ast> Visit<'ast> for AllTexts {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_for_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        if !is_for_tests(&function.attrs) {
            visit::visit_item_fn(self, function);
        }
    }

    fn visit_lit_str(&mut self, text: &'ast syn::LitStr) {
        self.0.push(text.value());
    }

    fn visit_macro(&mut self, made: &'ast syn::Macro) {
        self.in_tokens(made.tokens.clone());
    }
}

fn parsed(place: &str, source: &str) -> syn::File {
    syn::parse_file(source).unwrap_or_else(|error| panic!("{place} does not parse: {error}"))
}

struct Reader<'a> {
    place: &'a str,
    found: Vec<Message>,
    constants: Texts,
    /// The texts of the variables of the function so far.
    variables: Texts,
    /// The variants of errors: the name, and the number of the message.
    variants: Vec<(String, usize)>,
}

impl<'a> Reader<'a> {
    fn new(place: &'a str, constants: Texts) -> Self {
        Self {
            place,
            found: Vec::new(),
            constants,
            variables: Texts::new(),
            variants: Vec::new(),
        }
    }

    /// Returns the texts of a constant or a variable.
    fn known(&self, name: &str) -> Option<&Vec<String>> {
        self.variables.get(name).or_else(|| self.constants.get(name))
    }

    /// Adds a message; returns its number, and nothing for a text that is no message or is there already.
    fn add(&mut self, kind: Kind, text: &str, help: Vec<String>, takes_help: bool) -> Option<usize> {
        // The room that plays Inngest has answers of its own, which are the results of steps.
        let is_of_runner = self.place.starts_with("host/src/runner/");
        let kind = if is_of_runner && kind == Kind::Answer {
            Kind::Error
        } else {
            kind
        };
        let message = Message {
            place: self.place.to_owned(),
            kind,
            text: text.to_owned(),
            help,
            takes_help,
        };
        // A single word is a value, not a message.
        let is_new = text.contains(' ') && !self.found.contains(&message);
        is_new.then(|| {
            self.found.push(message);
            self.found.len() - 1
        })
    }

    fn add_all(&mut self, kind: Kind, texts: &[String], help: &[String], takes_help: bool) {
        for text in texts {
            self.add(kind, text, help.to_vec(), takes_help);
        }
    }

    /// Adds the notices that a page has between its tags.
    fn notices(&mut self, tokens: &TokenStream) {
        let mut after_name = false;
        for token in tokens.clone() {
            if let TokenTree::Group(group) = &token {
                if after_name {
                    let name = TokenTree::Ident(proc_macro2::Ident::new("notice", group.span()));
                    if let Ok(call) = syn::parse2::<syn::ExprCall>([name, token.clone()].into_iter().collect()) {
                        self.visit_expr_call(&call);
                    }
                } else {
                    self.notices(&group.stream());
                }
            }
            after_name = matches!(&token, TokenTree::Ident(name) if name == "notice");
        }
    }

    /// Tells whether the source writes lines for people.
    fn prints(&self) -> bool {
        PRINTING.contains(&self.place) || PARTS.contains(&self.place)
    }

    /// Adds a line that a command prints, if it names a fault.
    fn printed(&mut self, text: &str) {
        let (text, help) = apart_from_help(text.trim());
        let begins = text.starts_with(|first: char| first == '…' || first.is_alphanumeric());
        if begins && names_fault(&text) {
            let takes_help = !PARTS.contains(&self.place);
            self.add(Kind::Printed, &text, help.into_iter().collect(), takes_help);
        }
    }

    /// Adds the message of an error of a load: its help is its own, else the usual one of its kind.
    fn load_error(&mut self, kind: Option<&Expr>, texts: &[String], help: Vec<String>) {
        let help = if help.is_empty() {
            let name = match kind {
                Some(Expr::Path(path)) => path.path.segments.last().map(|segment| segment.ident.to_string()),
                Some(_) => None,
                None => Some("Evaluate".to_owned()),
            };
            let usual = name.and_then(|name| self.known(&format!("LoadErrorKind::{name}")));
            usual.cloned().unwrap_or_default()
        } else {
            help
        };
        self.add_all(Kind::Load, texts, &help, true);
    }

    /// Notes the usual helps of the kinds of an error.
    fn usual_helps(&mut self, function: &syn::ImplItemFn) {
        if let Some(syn::Stmt::Expr(Expr::Match(matched), None)) = function.block.stmts.last() {
            for arm in &matched.arms {
                let help = self.texts(&arm.body);
                for name in names(&arm.pat) {
                    self.constants.insert(format!("LoadErrorKind::{name}"), help.clone());
                }
            }
        }
    }

    /// Adds the message of an error's type or variant.
    fn derived(&mut self, name: &str, attributes: &[Attribute], has_diagnostic: bool) {
        let tokens = |wanted: &str| {
            let mut lists = attributes
                .iter()
                .filter_map(|attribute| attribute.meta.require_list().ok());
            lists
                .find(|list| list.path.is_ident(wanted))
                .map(|list| list.tokens.clone())
        };
        let Some(text) = tokens("error").as_ref().and_then(first_literal) else {
            return;
        };
        let help = tokens("diagnostic").and_then(|tokens| group_after(&tokens, "help"));
        let help = help.as_ref().and_then(first_literal);
        // A text that another error gives is not known here.
        let takes_help = has_diagnostic && help.is_none() == tokens("diagnostic").is_none();
        if let Some(number) = self.add(Kind::Error, &text, help.into_iter().collect(), takes_help) {
            self.variants.push((name.to_owned(), number));
        }
    }

    fn texts(&self, expression: &Expr) -> Vec<String> {
        match expression {
            Expr::Lit(literal) => match &literal.lit {
                syn::Lit::Str(text) => vec![of_format(&text.value())],
                _ => Vec::new(),
            },
            Expr::Macro(made) if is_text_macro(&made.mac.path) => first_literal(&made.mac.tokens).into_iter().collect(),
            Expr::MethodCall(call) => {
                let mut texts = self.texts(&call.receiver);
                if call.method == "then" || call.method.to_string().starts_with("unwrap_or") {
                    texts.extend(call.args.iter().flat_map(|argument| self.texts(argument)));
                }
                texts
            }
            Expr::Call(call) if is_wrapper(&call.func) => {
                call.args.first().map(|inner| self.texts(inner)).unwrap_or_default()
            }
            Expr::Reference(inner) => self.texts(&inner.expr),
            Expr::Paren(inner) => self.texts(&inner.expr),
            Expr::Closure(closure) => self.texts(&closure.body),
            Expr::Match(matched) => matched.arms.iter().flat_map(|arm| self.texts(&arm.body)).collect(),
            Expr::If(choice) => {
                let mut texts = self.texts_of_block(&choice.then_branch);
                let other = choice.else_branch.as_ref();
                texts.extend(other.map(|(_, other)| self.texts(other)).unwrap_or_default());
                texts
            }
            Expr::Block(block) => self.texts_of_block(&block.block),
            Expr::Path(path) => {
                let name = path.path.segments.last().map(|segment| segment.ident.to_string());
                name.and_then(|name| self.known(&name)).cloned().unwrap_or_default()
            }
            _ => Vec::new(),
        }
    }

    fn texts_of_block(&self, block: &syn::Block) -> Vec<String> {
        match block.stmts.last() {
            Some(syn::Stmt::Expr(last, None)) => self.texts(last),
            _ => Vec::new(),
        }
    }

    /// Notes the texts of a variable, or of each variable of a tuple.
    fn note(&mut self, pattern: &Pat, value: &Expr) {
        match pattern {
            Pat::Ident(name) => {
                let texts = self.texts(value);
                self.variables.insert(name.ident.to_string(), texts);
            }
            Pat::Type(typed) => self.note(&typed.pat, value),
            Pat::Tuple(tuple) => {
                for (place, pattern) in tuple.elems.iter().enumerate() {
                    if let Pat::Ident(name) = pattern {
                        let texts = ends(value).into_iter().flat_map(|end| match end {
                            Expr::Tuple(values) => {
                                values.elems.get(place).map(|one| self.texts(one)).unwrap_or_default()
                            }
                            _ => Vec::new(),
                        });
                        let texts = texts.collect();
                        self.variables.insert(name.ident.to_string(), texts);
                    }
                }
            }
            _ => {}
        }
    }

    /// Adds the messages of `let (message, help) = …`.
    fn add_pairs(&mut self, pattern: &Pat, value: &Expr) {
        let Pat::Tuple(names) = pattern else {
            return;
        };
        let is_named = |place: usize, wanted: &str| {
            let name = names.elems.get(place);
            name.is_some_and(|name| matches!(name, Pat::Ident(name) if name.ident == wanted))
        };
        if !is_named(0, "message") || !is_named(1, "help") {
            return;
        }
        for end in ends(value) {
            if let Expr::Tuple(pair) = end {
                let texts: Vec<_> = pair.elems.iter().map(|one| self.texts(one)).collect();
                self.add_all(Kind::Error, &texts[0], &texts[1], false);
            }
        }
    }

    /// Adds the help that a method `help` gives for variants of the errors before it.
    fn helps(&mut self, function: &syn::ImplItemFn) {
        let Some(syn::Stmt::Expr(Expr::Match(matched), None)) = function.block.stmts.last() else {
            return;
        };
        for arm in &matched.arms {
            let help = self.texts(&arm.body);
            for name in names(&arm.pat) {
                let (found, variants) = (&mut self.found, &self.variants);
                for (_, number) in variants.iter().filter(|(variant, _)| *variant == name) {
                    if found[*number].help.is_empty() {
                        found[*number].help.clone_from(&help);
                    }
                }
            }
        }
    }

    /// Adds a line of the log.
    fn logged(&mut self, kind: Kind, tokens: &TokenStream) {
        let (mut message, mut help) = (None, None);
        let mut before: Vec<String> = Vec::new();
        for token in tokens.clone() {
            if let TokenTree::Literal(_) = &token
                && let Ok(literal) = syn::parse2::<syn::LitStr>(token.clone().into())
            {
                let text = of_format(&literal.value());
                match before.last().map(String::as_str) {
                    None | Some(",") => message = message.or(Some(text)),
                    Some("=") if before.iter().rev().nth(1).is_some_and(|name| name == "help") => help = Some(text),
                    _ => {}
                }
            }
            before.push(token.to_string());
        }
        // The value of a field that is a variable or a constant.
        if help.is_none() && before.windows(2).any(|two| two == ["help", "="]) {
            let place = before
                .windows(2)
                .position(|two| two == ["help", "="])
                .map(|place| place + 2);
            let name = place.and_then(|place| before.get(place));
            help = name
                .and_then(|name| self.known(name))
                .and_then(|texts| texts.first())
                .cloned();
        }
        if let Some(message) = message {
            self.add(kind, &message, help.into_iter().collect(), false);
        }
    }
}

impl<'ast> Visit<'ast> for Reader<'_> {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if !is_for_tests(&module.attrs) {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_fn(&mut self, function: &'ast syn::ItemFn) {
        if !is_for_tests(&function.attrs) {
            self.variables.clear();
            visit::visit_item_fn(self, function);
        }
    }

    fn visit_item_const(&mut self, constant: &'ast syn::ItemConst) {
        let texts = self.texts(&constant.expr);
        self.constants.insert(constant.ident.to_string(), texts);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        if derives(&item.attrs, "Error") {
            for variant in &item.variants {
                self.derived(
                    &variant.ident.to_string(),
                    &variant.attrs,
                    derives(&item.attrs, "Diagnostic"),
                );
            }
        }
    }

    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        if derives(&item.attrs, "Error") {
            self.derived(&item.ident.to_string(), &item.attrs, derives(&item.attrs, "Diagnostic"));
        }
    }

    fn visit_impl_item_fn(&mut self, function: &'ast syn::ImplItemFn) {
        if function.sig.ident == "help" {
            self.helps(function);
        } else if function.sig.ident == "usual_help" {
            self.usual_helps(function);
        } else if !is_for_tests(&function.attrs) {
            self.variables.clear();
            visit::visit_impl_item_fn(self, function);
        }
    }

    fn visit_local(&mut self, local: &'ast syn::Local) {
        visit::visit_local(self, local);
        if let Some(init) = &local.init {
            self.note(&local.pat, &init.expr);
            self.add_pairs(&local.pat, &init.expr);
        }
    }

    fn visit_expr_struct(&mut self, made: &'ast syn::ExprStruct) {
        let field = |name: &str| {
            let mut fields = made.fields.iter();
            fields.find(|field| matches!(&field.member, syn::Member::Named(one) if one == name))
        };
        let message = match field("message") {
            Some(message) => Some(&message.expr),
            None => made.rest.as_deref().and_then(of_into_error),
        };
        if let Some(message) = message {
            let texts = self.texts(message);
            let help = field("help").map(|help| self.texts(&help.expr)).unwrap_or_default();
            match made.path.segments.last() {
                Some(name) if name.ident == "Warning" => self.add_all(Kind::Lint, &texts, &help, false),
                Some(name) if name.ident == "LoadError" => {
                    let of_position = made.rest.as_deref().and_then(kind_of_into_error);
                    let kind = field("kind").map(|kind| &kind.expr).or(of_position);
                    self.load_error(kind, &texts, help);
                }
                Some(name) if name.ident == "Self" && self.place.ends_with("load_error.rs") => {
                    self.constants.insert(BUG.to_owned(), help);
                }
                _ => self.add_all(Kind::Error, &texts, &help, false),
            }
        }
        if made.rest.as_deref().and_then(of_into_error).is_none() {
            visit::visit_expr_struct(self, made);
        }
    }

    fn visit_expr_call(&mut self, call: &'ast syn::ExprCall) {
        if let Expr::Path(function) = &*call.func {
            let names = function.path.segments.iter().map(|segment| segment.ident.to_string());
            let name = names.collect::<Vec<_>>().join("::");
            let is_called = |known: &str| name == known || name.ends_with(&format!("::{known}"));
            if let Some((_, kind, text, help)) = CALLS.iter().find(|(known, ..)| is_called(known)) {
                let texts = call.args.get(*text).map(|text| self.texts(text)).unwrap_or_default();
                let argument = help.and_then(|place| call.args.get(place));
                let helps = argument.map(|argument| self.texts(argument)).unwrap_or_default();
                match *kind {
                    Kind::Load => {
                        let help = self.known(BUG).cloned().unwrap_or_default();
                        self.add_all(Kind::Load, &texts, &help, true);
                    }
                    Kind::Page if helps.is_empty() => {
                        for text in texts {
                            let (text, help) = apart_from_help(&text);
                            self.add(Kind::Page, &text, help.into_iter().collect(), true);
                        }
                    }
                    Kind::Printed => {
                        // The texts are not looked at again.
                        self.add_all(Kind::Printed, &texts, &helps, false);
                        return;
                    }
                    kind => self.add_all(kind, &texts, &helps, false),
                }
            }
        }
        visit::visit_expr_call(self, call);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        if call.method == "into_error"
            && let Some(message) = call.args.get(1)
        {
            let texts = self.texts(message);
            self.load_error(call.args.first(), &texts, Vec::new());
        }
        visit::visit_expr_method_call(self, call);
    }

    fn visit_expr_lit(&mut self, literal: &'ast syn::ExprLit) {
        if let syn::Lit::Str(text) = &literal.lit
            && self.prints()
        {
            self.printed(&of_format(&text.value()));
        }
    }

    // The texts of attributes are for the compiler, and for clap.
    fn visit_attribute(&mut self, _: &'ast Attribute) {}

    fn visit_macro(&mut self, made: &'ast syn::Macro) {
        let name = made.path.segments.last().map(|segment| segment.ident.to_string());
        match name.as_deref() {
            Some("warn") => self.logged(Kind::LoggedWarning, &made.tokens),
            Some("error") => self.logged(Kind::LoggedError, &made.tokens),
            Some("eprint" | "eprintln") => {
                if let Some(text) = first_literal(&made.tokens) {
                    self.printed(&text);
                }
            }
            Some("format" | "write" | "writeln") if self.prints() => {
                if let Some(text) = first_literal(&made.tokens) {
                    self.printed(&text);
                }
            }
            Some("html") => self.notices(&made.tokens),
            Some("miette") => {
                if let Some(text) = first_literal(&made.tokens) {
                    self.add(Kind::Error, &text, Vec::new(), false);
                }
            }
            _ => {}
        }
    }
}

/// Returns the kind of `position.into_error(kind, message)`.
fn kind_of_into_error(made: &Expr) -> Option<&Expr> {
    match made {
        Expr::MethodCall(call) if call.method == "into_error" => call.args.first(),
        _ => None,
    }
}

/// Returns the message of `position.into_error(kind, message)`.
fn of_into_error(made: &Expr) -> Option<&Expr> {
    match made {
        Expr::MethodCall(call) if call.method == "into_error" => call.args.get(1),
        _ => None,
    }
}

/// Returns the values that a choice may have.
fn ends(value: &Expr) -> Vec<&Expr> {
    match value {
        Expr::Match(matched) => matched.arms.iter().flat_map(|arm| ends(&arm.body)).collect(),
        Expr::Block(block) => match block.block.stmts.last() {
            Some(syn::Stmt::Expr(last, None)) => ends(last),
            _ => Vec::new(),
        },
        Expr::If(choice) => {
            let other = choice.else_branch.iter().flat_map(|(_, other)| ends(other));
            match choice.then_branch.stmts.last() {
                Some(syn::Stmt::Expr(last, None)) => ends(last).into_iter().chain(other).collect(),
                _ => other.collect(),
            }
        }
        _ => vec![value],
    }
}

/// Returns the last names of the variants in a pattern.
fn names(pattern: &Pat) -> Vec<String> {
    let last = |path: &syn::Path| path.segments.last().map(|segment| segment.ident.to_string());
    match pattern {
        Pat::Or(either) => either.cases.iter().flat_map(names).collect(),
        Pat::Path(path) => last(&path.path).into_iter().collect(),
        Pat::Struct(variant) => last(&variant.path).into_iter().collect(),
        Pat::TupleStruct(variant) => last(&variant.path).into_iter().collect(),
        _ => Vec::new(),
    }
}

fn derives(attributes: &[Attribute], wanted: &str) -> bool {
    let lists = attributes
        .iter()
        .filter_map(|attribute| attribute.meta.require_list().ok());
    let derives = lists.filter(|list| list.path.is_ident("derive"));
    derives
        .flat_map(|list| list.tokens.clone())
        .any(|token| token.to_string() == wanted)
}

fn is_for_tests(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute
                .meta
                .require_list()
                .is_ok_and(|list| list.path.is_ident("cfg") && list.tokens.to_string() == "test")
    })
}

fn is_text_macro(path: &syn::Path) -> bool {
    ["format", "concat", "miette"].iter().any(|name| path.is_ident(name))
        || path.segments.last().is_some_and(|last| last.ident == "miette")
}

/// Tells whether a call only wraps a text: `Some("…")`.
fn is_wrapper(function: &Expr) -> bool {
    let Expr::Path(path) = function else {
        return false;
    };
    let last = path.path.segments.last().map(|segment| segment.ident.to_string());
    last.is_some_and(|name| matches!(name.as_str(), "Some" | "Borrowed" | "from" | "custom"))
}

/// Returns the first string in the tokens.
fn first_literal(tokens: &TokenStream) -> Option<String> {
    let literals = tokens
        .clone()
        .into_iter()
        .filter(|token| matches!(token, TokenTree::Literal(_)));
    let mut texts = literals.filter_map(|token| syn::parse2::<syn::LitStr>(token.into()).ok());
    texts.next().map(|text| of_format(&text.value()))
}

/// Returns the tokens in the parentheses after a name.
fn group_after(tokens: &TokenStream, name: &str) -> Option<TokenStream> {
    let mut tokens = tokens.clone().into_iter();
    tokens.find(|token| matches!(token, TokenTree::Ident(ident) if ident == name))?;
    match tokens.next()? {
        TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis => Some(group.stream()),
        _ => None,
    }
}

#[test]
fn errors_values_and_lines_of_the_log_are_found() {
    let source = r#"
        #[derive(Debug, thiserror::Error, miette::Diagnostic)]
        enum Wrong {
            #[error("cannot read {path}: {0}", path = .0.display())]
            #[diagnostic(help("Make {} readable.", .0))]
            Unreadable(Path),
            #[error("it is gone")]
            Gone { name: String },
            #[error(transparent)]
            Other(#[from] Other),
        }
        impl Wrong {
            fn help(&self) -> &str { match self { Self::Gone { .. } | Self::Other(_) => "Look again.", _ => "" } }
        }
        impl LoadErrorKind {
            fn usual_help(self) -> &str { match self { Self::Syntax => "Read the file.", Self::Memory => "Take more." } }
        }
        const WHY: &str = "the host is ending";
        fn run() -> Result<(), String> {
            let (fix, message) = if x { ("Do this.", "one thing") } else { ("Do that.", "other thing") };
            Finding::new("x", message, fix);
            html! { section { @if x { (notice(Severity::Bad, "it is blocked", "Look.", &html! { p { (x) } })) } } }
            warn!(target: "audit", %error, help = WHY, "a {thing} failed");
            tracing::error!(name = "a b", "no more");
            LoadError { message: format!("{a} is {{b}}"), help: Some("Write it.".to_owned()), ..other };
            LoadError { help: Some("Read it.".to_owned()), ..at.into_error(kind, "it is not text".to_owned()) };
            at.into_error(LoadErrorKind::Syntax, "it is cut short".to_owned());
            let (message, help) = match x { A => ("it is cut", Some("Mend it.")), _ => (reason, None) };
            Err(WHY.to_owned())
        }
        #[cfg(test)]
        mod tests { fn run() { warn!("not this one"); } }
    "#;
    let found = messages("a.rs", source, &constants("a.rs", source));
    let found: Vec<_> = found
        .iter()
        .map(|one| (one.kind, one.text.as_str(), one.help.join(" "), one.takes_help))
        .collect();
    assert_eq!(
        found,
        [
            (Kind::Error, "cannot read …: …", "Make … readable.".to_owned(), true),
            (Kind::Error, "it is gone", "Look again.".to_owned(), true),
            (Kind::Finding, "one thing", "Do this. Do that.".to_owned(), false),
            (Kind::Finding, "other thing", "Do this. Do that.".to_owned(), false),
            (Kind::Page, "it is blocked", "Look.".to_owned(), false),
            (
                Kind::LoggedWarning,
                "a … failed",
                "the host is ending".to_owned(),
                false
            ),
            (Kind::LoggedError, "no more", String::new(), false),
            (Kind::Load, "… is {b}", "Write it.".to_owned(), true),
            (Kind::Load, "it is not text", "Read it.".to_owned(), true),
            (Kind::Load, "it is cut short", "Read the file.".to_owned(), true),
            (Kind::Error, "it is cut", "Mend it.".to_owned(), false),
            (Kind::Error, "the host is ending", String::new(), false),
        ]
    );
}
