//! A reader of the project's documents: fenced blocks, code in sentences, links and anchors. It reads the Markdown that
//! they are written in, and not all of Markdown.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use regex::Regex;

/// A Markdown file of the repository.
#[derive(Debug)]
pub struct Document {
    /// The file's path from the repository's root, such as `docs/http.md`.
    pub path: PathBuf,
    /// The lines outside of fenced blocks; lines of blocks are empty, so that numbers of lines hold.
    prose: Vec<String>,
    blocks: Vec<Block>,
}

/// A fenced block.
#[derive(Debug)]
pub struct Block {
    /// The number of its first fence's line.
    pub line: usize,
    /// The first word after the fence, such as `sh`.
    pub language: String,
    /// The other words after the fence.
    pub marks: Vec<String>,
    pub text: String,
}

/// A piece of a document, and the number of its line.
#[derive(Debug, Clone)]
pub struct Place {
    pub line: usize,
    pub text: String,
}

impl Document {
    /// Returns the root of the repository.
    #[must_use]
    pub fn root() -> PathBuf {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        root.canonicalize().expect("the repository")
    }

    /// Reads the files with these paths from the repository's root, and all pages of the book.
    #[must_use]
    pub fn with_the_book(files: &[&str]) -> Vec<Self> {
        let mut paths: Vec<PathBuf> = files.iter().map(PathBuf::from).collect();
        let pages = fs::read_dir(Self::root().join("docs")).expect("docs/");
        let pages = pages.map(|page| Path::new("docs").join(page.expect("a page").file_name()));
        paths.extend(pages.filter(|page| page.extension().is_some_and(|extension| extension == "md")));
        paths.sort();
        paths.into_iter().map(Self::read).collect()
    }

    /// Reads the file with this path from the repository's root.
    #[must_use]
    pub fn read(path: PathBuf) -> Self {
        let text = fs::read_to_string(Self::root().join(&path));
        let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut document = Self {
            path,
            prose: Vec::new(),
            blocks: Vec::new(),
        };
        let mut open: Option<(usize, Block)> = None;
        for (index, line) in text.lines().enumerate() {
            let fence = line.trim_start().strip_prefix("```");
            let in_block = open.is_some() || fence.is_some();
            document
                .prose
                .push(if in_block { String::new() } else { line.to_owned() });
            match (fence, open.take()) {
                (Some(_), Some((_, block))) => document.blocks.push(block),
                (Some(words), None) => {
                    let mut words = words.split_whitespace().map(str::to_owned);
                    let indentation = line.len() - line.trim_start().len();
                    let block = Block {
                        line: index + 1,
                        language: words.next().unwrap_or_default(),
                        marks: words.collect(),
                        text: String::new(),
                    };
                    open = Some((indentation, block));
                }
                (None, Some((indentation, mut block))) => {
                    block.text.push_str(line.get(indentation..).unwrap_or_default());
                    block.text.push('\n');
                    open = Some((indentation, block));
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: a block has no end", document.path.display());
        document
    }

    /// The fenced blocks, in their order.
    #[must_use]
    pub fn blocks(&self) -> &[Block] {
        &self.blocks
    }

    /// Returns the place of a line as an editor takes it: `docs/http.md:12`.
    #[must_use]
    pub fn at(&self, line: usize) -> String {
        format!("{}:{line}", self.path.display())
    }

    /// Returns the code in sentences and tables: what is between single backticks.
    #[must_use]
    pub fn code(&self) -> Vec<Place> {
        self.found(&Regex::new("`([^`\n]+)`").expect("a pattern"), &self.prose)
    }

    /// Returns the targets of links and pictures.
    #[must_use]
    pub fn links(&self) -> Vec<Place> {
        let code = Regex::new("`[^`\n]*`").expect("a pattern");
        let without_code: Vec<String> = self
            .prose
            .iter()
            .map(|line| code.replace_all(line, "code").into())
            .collect();
        self.found(&Regex::new(r"\]\(([^)\s]+)\)").expect("a pattern"), &without_code)
    }

    /// Returns the anchors of the headings, as GitHub and mdBook make them.
    #[must_use]
    pub fn anchors(&self) -> BTreeSet<String> {
        let mut anchors = BTreeSet::new();
        let link = Regex::new(r"\[([^\]]*)\]\([^)]*\)").expect("a pattern");
        for line in &self.prose {
            let Some(heading) = line.strip_prefix('#') else {
                continue;
            };
            let heading = heading.trim_start_matches('#').trim().to_lowercase();
            let heading = link.replace_all(&heading, "$1");
            let letters = heading.chars().map(|letter| if letter == ' ' { '-' } else { letter });
            let anchor: String = letters
                .filter(|letter| letter.is_alphanumeric() || "-_".contains(*letter))
                .collect();
            let again = (1..).map(|count| format!("{anchor}-{count}"));
            let mut names = std::iter::once(anchor.clone()).chain(again);
            let name = names.find(|name| !anchors.contains(name)).expect("endless names");
            anchors.insert(name);
        }
        anchors
    }

    /// Returns whatever the pattern's group finds in the sentences and in the blocks.
    #[must_use]
    pub fn everywhere(&self, pattern: &Regex) -> Vec<Place> {
        let mut found = self.found(pattern, &self.prose);
        for block in &self.blocks {
            let texts = pattern.captures_iter(&block.text).map(|group| group[1].to_owned());
            found.extend(texts.map(|text| Place { line: block.line, text }));
        }
        found
    }

    fn found(&self, pattern: &Regex, lines: &[String]) -> Vec<Place> {
        let of_line = |(index, line): (usize, &String)| -> Vec<Place> {
            let texts = pattern.captures_iter(line).map(|group| group[1].to_owned());
            texts.map(|text| Place { line: index + 1, text }).collect()
        };
        lines.iter().enumerate().flat_map(of_line).collect()
    }
}
