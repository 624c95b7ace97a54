//! The terminal of the person at this machine: its colours, its symbols, and the form of a log line there.

use std::fmt::{self, Write as _};
use std::io::Write as _;

use anstyle::{AnsiColor, Style};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use super::writer::LogWriter;

/// A terminal. Text for it goes the way of the log, so that both keep their order.
#[derive(Clone)]
pub struct Terminal {
    writer: LogWriter,
    form: Form,
}

/// The form of text for one terminal.
#[derive(Debug, Clone, Copy)]
pub(super) struct Form {
    colours: bool,
    symbols: &'static [&'static str; 4],
}

/// A sign at the beginning of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    /// Something succeeded.
    Good,
    /// Something failed.
    Bad,
    /// Something needs attention.
    Notice,
    /// A place to go to.
    Arrow,
}

/// The look of a piece of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TextLook {
    /// Text that stands out.
    Strong,
    /// Text that stands back.
    Faint,
    /// A place that one can open.
    Link,
}

const UNICODE: [&str; 4] = ["✓", "✗", "▲", "➜"];
const ASCII: [&str; 4] = ["+", "x", "!", ">"];

impl Terminal {
    pub(super) const fn new(writer: LogWriter, form: Form) -> Self {
        Self { writer, form }
    }

    /// Writes a text of whole lines.
    pub fn print(&self, text: &str) {
        // The log's queue takes every line.
        let _ = self.writer.clone().write_all(text.as_bytes());
    }

    /// Returns a line that begins with the time and a sign, as a line of the log does.
    #[must_use]
    pub fn line(&self, sign: Sign, text: &str) -> String {
        format!("{} {} {text}\n", self.form.time(), self.form.sign(sign))
    }

    /// Returns a sign in its colour.
    #[must_use]
    pub fn sign(&self, sign: Sign) -> String {
        self.form.sign(sign)
    }

    /// Returns the text in a look.
    #[must_use]
    pub fn paint(&self, look: TextLook, text: &str) -> String {
        self.form.paint(look, text)
    }
}

impl Form {
    /// The form for the standard error of this process: colours unless `NO_COLOR` is set, ASCII where the locale has no
    /// more.
    pub(super) fn of_standard_error() -> Self {
        let no_colours = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let unicode = supports_unicode::on(supports_unicode::Stream::Stderr);
        Self {
            colours: !no_colours,
            symbols: if unicode { &UNICODE } else { &ASCII },
        }
    }

    fn sign(self, sign: Sign) -> String {
        let (at, colour) = match sign {
            Sign::Good => (0, AnsiColor::Green),
            Sign::Bad => (1, AnsiColor::Red),
            Sign::Notice => (2, AnsiColor::Yellow),
            Sign::Arrow => (3, AnsiColor::Green),
        };
        self.styled(Style::new().fg_color(Some(colour.into())), self.symbols[at])
    }

    fn paint(self, look: TextLook, text: &str) -> String {
        let style = match look {
            TextLook::Strong => Style::new().bold(),
            TextLook::Faint => Style::new().dimmed(),
            TextLook::Link => Style::new().fg_color(Some(AnsiColor::Cyan.into())),
        };
        self.styled(style, text)
    }

    fn styled(self, style: Style, text: &str) -> String {
        if self.colours {
            format!("{style}{text}{style:#}")
        } else {
            text.to_owned()
        }
    }

    /// The time as the person at the terminal has it.
    fn time(self) -> String {
        self.paint(TextLook::Faint, &jiff::Zoned::now().strftime("%H:%M:%S").to_string())
    }
}

/// The fields of an event as a person reads them.
#[derive(Default)]
struct Fields {
    message: String,
    /// The function that said it; the isolate where no function did.
    function: Option<String>,
    isolate: Option<String>,
    /// The other short fields, as `name=value`.
    short: String,
    /// Texts of more than a line, and help.
    below: String,
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string does not fail.
        let _ = match field.name() {
            "message" => write!(self.message, "{value:?}"),
            "frame" | "stack" => write!(self.below, "\n{value:?}"),
            "help" => write!(self.below, "\nhelp: {value:?}"),
            name => write!(self.short, " {name}={value:?}"),
        };
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "function" => self.function = Some(value.to_owned()),
            "isolate" => self.isolate = Some(value.to_owned()),
            "help" => self.record_debug(field, &format_args!("{value}")),
            _ => self.record_debug(field, &value),
        }
    }
}

impl<S, N> FormatEvent<S, N> for Form
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let sign = match *event.metadata().level() {
            Level::ERROR => self.sign(Sign::Bad),
            Level::WARN => self.sign(Sign::Notice),
            Level::INFO | Level::DEBUG | Level::TRACE => " ".to_owned(),
        };
        let (function, isolate) = (fields.function.as_deref(), fields.isolate.as_deref());
        let speaker = if event.metadata().target() == "user" {
            // A function's own words need no number of their run beside them.
            fields.short.clear();
            function.or(isolate)
        } else {
            for (name, value) in [("isolate", isolate), ("function", function)] {
                if let Some(value) = value {
                    fields.short.insert_str(0, &format!(" {name}={value:?}"));
                }
            }
            None
        };
        write!(writer, "{} {sign} ", self.time())?;
        if let Some(speaker) = speaker {
            write!(writer, "{} ", self.paint(TextLook::Faint, &format!("{speaker}:")))?;
        }
        write!(writer, "{}", fields.message)?;
        if !fields.short.is_empty() {
            write!(writer, "{}", self.paint(TextLook::Faint, &fields.short))?;
        }
        writeln!(writer, "{}", fields.below)
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(std::sync::Arc<std::sync::Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// The lines that `log` makes, without their times.
    fn lines(colours: bool, log: impl FnOnce()) -> String {
        let (lines, form) = (
            Lines::default(),
            Form {
                colours,
                symbols: &ASCII,
            },
        );
        let subscriber = tracing_subscriber::fmt().event_format(form).with_writer(lines.clone());
        tracing::subscriber::with_default(subscriber.finish(), log);
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        text.lines()
            .map(|line| format!("{}\n", line.split_once(' ').map_or(line, |(_, rest)| rest)))
            .collect()
    }

    #[test]
    fn a_function_speaks_by_its_name_and_the_host_tells_its_fields() {
        let text = lines(false, || {
            tracing::info!(target: "user", isolate = "generation-1", function = "app-hello", run = "01", "hello");
            tracing::error!(target: "user", isolate = "generation-1", "on its own");
            tracing::warn!(
                isolate = "generation-1",
                lines = 3,
                help = "Do that.",
                "the disk is slow"
            );
        });
        let expected = "  app-hello: hello\nx generation-1: on its own\n! the disk is slow isolate=\"generation-1\" lines=3\nDo that.\n";
        assert_eq!(text, expected);
    }

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        assert!(!lines(false, || tracing::warn!(a = 1, "x")).contains('\u{1b}'));
        assert!(lines(true, || tracing::warn!(a = 1, "x")).contains("\u{1b}[33m!"));
    }
}
