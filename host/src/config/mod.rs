//! The settings of a host: `baton.toml`, then `BATON_*` variables, then flags; the later wins.

mod conditions;
mod config_file;
mod project;
mod sections;
mod setting_values;
mod state_folder;
mod watching;

pub use conditions::ResolveSection;
pub use config_file::{ConfigFile, ConfigFileError, KEYS};
pub use project::{ProjectError, USUAL_FOLDERS, discover, working_folder};
pub use sections::{ConnectRule, InngestSection, OnStop, PinMode, RegisterMode, Retries, WatchMode};
pub use setting_values::Bounds;
pub use state_folder::{Lock, StateError, StateFolder, find_running, find_running_state};
pub use watching::WatchSection;
