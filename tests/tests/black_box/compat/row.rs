//! A row: a file of `tests/compat/rows/`, whose first lines describe it.

use std::path::{Path, PathBuf};

use serde_json::Value;

/// The data in the comments at the top of the file.
#[derive(Debug)]
pub(super) struct Row {
    /// The file's name without its extension.
    pub(super) name: String,
    /// The packages that the row is about.
    pub(super) packages: Vec<String>,
    /// Its title in the table, if the packages don't give it.
    pub(super) title: Option<String>,
    /// The services that it uses.
    pub(super) needs: Vec<String>,
    /// A pattern for the function's result, if the row does not compare it itself.
    pub(super) answers: Option<Value>,
    pub(super) standing: Standing,
}

#[derive(Debug)]
pub(super) enum Standing {
    /// It works, with a note, if there is one.
    Works { note: Option<String> },
    /// It does not work yet: the reason, and a part of the error.
    NotYet { reason: String, fails: String },
}

impl Row {
    /// Returns every row, by name.
    pub(super) fn all() -> Vec<Self> {
        let folder = folder().join("rows");
        let files = std::fs::read_dir(&folder).expect("a folder of rows");
        let mut rows: Vec<_> = files.map(|file| Self::read(&file.expect("a row").path())).collect();
        rows.sort_by(|a, b| a.name.cmp(&b.name));
        rows
    }

    fn read(file: &Path) -> Self {
        let text = std::fs::read_to_string(file).expect("a row's text");
        let said = |key: &str| {
            let lines = text.lines().map_while(|line| line.strip_prefix("// "));
            let mut values = lines.filter_map(|line| Some(line.strip_prefix(key)?.strip_prefix(": ")?.to_owned()));
            values.next()
        };
        let list = |key: &str| -> Vec<String> {
            let value = said(key).unwrap_or_default();
            value.split_terminator(", ").map(str::to_owned).collect()
        };
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let packages = list("packages");
        assert!(
            !packages.is_empty(),
            "rows/{name}.ts does not say which packages it is about"
        );
        let standing = match said("not yet") {
            Some(reason) => Standing::NotYet {
                reason,
                fails: said("fails").unwrap_or_else(|| panic!("rows/{name}.ts does not say how it fails")),
            },
            None => Standing::Works { note: said("note") },
        };
        Self {
            packages,
            title: said("title"),
            needs: list("needs"),
            answers: said("answers").map(|text| serde_json::from_str(&text).expect("a pattern in JSON")),
            standing,
            name,
        }
    }

    /// Returns the text of an entry file that is this row.
    pub(super) fn entry(&self) -> String {
        let name = &self.name;
        format!(
            "import * as row from \"./rows/{name}\";\nexport * from \"./rows/{name}\";\nexport default row.default;\n"
        )
    }
}

/// Returns the folder of the rows and their packages.
pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("compat")
}
