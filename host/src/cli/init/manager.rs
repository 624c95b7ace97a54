//! Package managers: the one that a project uses, and the commands to type.

use clap::ValueEnum;

/// A package manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum PackageManager {
    Npm,
    Pnpm,
    Yarn,
    Bun,
}

/// The managers in the order in which they are looked for on the PATH.
pub(super) const ALL: [PackageManager; 4] = [
    PackageManager::Npm,
    PackageManager::Pnpm,
    PackageManager::Yarn,
    PackageManager::Bun,
];

/// The signs of a manager in one folder.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FolderSigns {
    /// `packageManager` of its package.json, such as `pnpm@10.1.0`.
    pub(super) declared: Option<String>,
    /// The manager whose lockfile, or list of packages, is there.
    pub(super) locked: Option<PackageManager>,
}

/// The signs of a manager.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct ManagerSigns {
    /// Those of the project's folder and of the folders around it, the nearest first.
    pub(super) folders: Vec<FolderSigns>,
    /// `npm_config_user_agent`, which managers set for what they run: `pnpm/10.1.0 npm/? node/v22`.
    pub(super) agent: Option<String>,
    /// The managers on the PATH.
    pub(super) installed: Vec<PackageManager>,
}

impl ManagerSigns {
    /// Returns the manager that the project, or the caller of this command, uses; none where nothing tells.
    pub(super) fn told(&self) -> Option<PackageManager> {
        let of_folder = |folder: &FolderSigns| folder.declared.as_deref().and_then(named).or(folder.locked);
        let of_project = self.folders.iter().find_map(of_folder);
        of_project.or_else(|| self.agent.as_deref().and_then(named))
    }

    /// Returns the manager to use where nobody is asked.
    pub(super) fn chosen(&self) -> PackageManager {
        let installed = || self.installed.first().copied();
        self.told().or_else(installed).unwrap_or(PackageManager::Npm)
    }
}

impl PackageManager {
    pub(super) const fn program(self) -> &'static str {
        match self {
            Self::Npm => "npm",
            Self::Pnpm => "pnpm",
            Self::Yarn => "yarn",
            Self::Bun => "bun",
        }
    }

    /// The files by which a folder tells that this manager installs its packages.
    pub(super) const fn files(self) -> &'static [&'static str] {
        match self {
            Self::Npm => &["package-lock.json", "npm-shrinkwrap.json"],
            Self::Pnpm => &["pnpm-lock.yaml", "pnpm-workspace.yaml"],
            Self::Yarn => &["yarn.lock", ".yarnrc.yml"],
            Self::Bun => &["bun.lock", "bun.lockb"],
        }
    }

    /// The command that runs a program of the project's packages.
    pub(super) fn run(self, program: &str) -> String {
        let runner = match self {
            Self::Npm => "npx",
            Self::Pnpm => "pnpm exec",
            Self::Yarn => "yarn",
            Self::Bun => "bunx",
        };
        format!("{runner} {program}")
    }

    /// The command that installs what package.json names.
    pub(super) fn install(self) -> String {
        format!("{} install", self.program())
    }

    /// The command that adds packages to package.json and installs them.
    pub(super) fn add(self, packages: &[&str]) -> String {
        let verb = match self {
            Self::Npm => "install",
            Self::Pnpm | Self::Yarn | Self::Bun => "add",
        };
        format!("{} {verb} {}", self.program(), packages.join(" "))
    }

    /// The command that does the same with packages that only people at work on the project need.
    pub(super) fn add_for_development(self, packages: &[&str]) -> String {
        let (verb, flag) = match self {
            Self::Npm => ("install", "-D"),
            Self::Pnpm | Self::Yarn => ("add", "-D"),
            Self::Bun => ("add", "--dev"),
        };
        format!("{} {verb} {flag} {}", self.program(), packages.join(" "))
    }
}

/// Reads the manager at the begin of `pnpm@10.1.0`, or of a user agent.
fn named(text: &str) -> Option<PackageManager> {
    let name = text.split(['@', '/']).next()?;
    ALL.into_iter().find(|manager| manager.program() == name)
}

#[cfg(test)]
mod tests {
    use super::{FolderSigns, ManagerSigns, PackageManager};

    fn folder(declared: Option<&str>, locked: Option<PackageManager>) -> FolderSigns {
        FolderSigns {
            declared: declared.map(str::to_owned),
            locked,
        }
    }

    #[test]
    fn the_nearest_sign_tells_and_a_declaration_comes_before_a_lockfile() {
        let signs = |folders: Vec<FolderSigns>| ManagerSigns {
            folders,
            agent: Some("yarn/4.1.0 npm/? node/v22".to_owned()),
            installed: vec![PackageManager::Npm],
        };
        let declared = folder(Some("pnpm@10.1.0"), Some(PackageManager::Npm));
        assert_eq!(signs(vec![declared.clone()]).chosen(), PackageManager::Pnpm);
        let locked = folder(None, Some(PackageManager::Bun));
        assert_eq!(signs(vec![locked, declared]).chosen(), PackageManager::Bun);
        assert_eq!(signs(vec![folder(None, None)]).chosen(), PackageManager::Yarn);
        assert_eq!(signs(vec![folder(Some("deno@2"), None)]).chosen(), PackageManager::Yarn);
    }

    #[test]
    fn without_a_sign_it_is_the_first_that_is_installed() {
        let signs = |installed: Vec<PackageManager>| ManagerSigns {
            installed,
            ..ManagerSigns::default()
        };
        assert_eq!(signs(vec![]).told(), None);
        assert_eq!(signs(vec![]).chosen(), PackageManager::Npm);
        assert_eq!(signs(vec![PackageManager::Bun]).chosen(), PackageManager::Bun);
    }
}
