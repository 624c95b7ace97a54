//! A service as a launchd job. Pure: the property list of a [`Service`], for the manual page
//! launchd.plist(5).

use serde::Serialize;

use super::{Scope, Service, ServiceError, UnitFile};

/// The limit of open files of a job: more than launchd's 256, and no more than every macOS allows (`OPEN_MAX`).
const OPEN_FILES: u64 = 10_240;

/// Returns the job's label, which is also the name of its file before `.plist`.
#[must_use]
pub fn label(name: &str) -> String {
    format!("baton.{name}")
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct JobDescription {
    label: String,
    program_arguments: Vec<String>,
    working_directory: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user_name: Option<String>,
    environment_variables: EnvironmentVariables,
    run_at_load: bool,
    keep_alive: KeepAlive,
    /// The seconds between two starts. (The supervisor mends crashes at once.)
    throttle_interval: u64,
    /// The seconds from SIGTERM to SIGKILL; launchd's own number is 20.
    exit_time_out: u64,
    /// The type of the process: any other type gets less of the processor, or only its slow cores.
    process_type: &'static str,
    soft_resource_limits: ResourceLimits,
    /// The mask of new files: nobody else reads them.
    umask: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    sockets: Option<SocketDescriptions>,
    standard_error_path: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "UPPERCASE")]
struct EnvironmentVariables {
    path: String,
    /// The user's home, which launchd sets for agents, not for daemons.
    home: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct KeepAlive {
    /// `false`: a job that was told to end stays ended, and a job that ends in any other way is started again.
    successful_exit: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ResourceLimits {
    number_of_files: u64,
}

#[derive(Debug, Serialize)]
struct SocketDescriptions {
    #[serde(rename = "Listeners")]
    listeners: SocketDescription,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct SocketDescription {
    sock_node_name: String,
    sock_service_name: String,
    sock_family: &'static str,
    sock_type: &'static str,
}

/// Returns the path of the file to which the job's standard error goes.
#[must_use]
pub fn log_file(service: &Service) -> String {
    format!(
        "{}/Library/Logs/baton/{}.log",
        service.owner.home.display(),
        service.name
    )
}

/// Returns the job's file.
///
/// # Errors
/// When what it says is no property list.
pub fn unit(service: &Service) -> Result<UnitFile, ServiceError> {
    let job = JobDescription {
        label: label(&service.name),
        program_arguments: std::iter::once(service.binary.clone())
            .chain(service.arguments.iter().cloned())
            .collect(),
        working_directory: service.working_folder.clone(),
        user_name: (service.scope == Scope::System).then(|| service.owner.name.clone()),
        environment_variables: EnvironmentVariables {
            path: service.search_path.clone(),
            home: service.owner.home.display().to_string(),
        },
        run_at_load: true,
        keep_alive: KeepAlive { successful_exit: false },
        throttle_interval: 5,
        exit_time_out: service.stop_timeout().as_secs(),
        process_type: "Interactive",
        soft_resource_limits: ResourceLimits {
            number_of_files: OPEN_FILES,
        },
        umask: 0o077,
        sockets: service.socket.then(|| SocketDescriptions {
            listeners: SocketDescription {
                sock_node_name: service.address.ip().to_string(),
                sock_service_name: service.address.port().to_string(),
                sock_family: if service.address.is_ipv4() { "IPv4" } else { "IPv6" },
                sock_type: "stream",
            },
        }),
        standard_error_path: log_file(service),
    };
    let mut text = Vec::new();
    plist::to_writer_xml(&mut text, &job).map_err(|error| ServiceError::PropertyList(error.to_string()))?;
    let mut text = String::from_utf8_lossy(&text).into_owned();
    text.push('\n');
    Ok(UnitFile {
        name: format!("{}.plist", label(&service.name)),
        text,
    })
}

#[cfg(test)]
mod tests {
    use plist::{Dictionary, Value};

    use super::{label, unit};
    use crate::service::tests::service;
    use crate::service::{Scope, Service};

    fn job(service: &Service) -> Dictionary {
        let text = unit(service).unwrap().text;
        let value = Value::from_reader_xml(text.as_bytes()).unwrap_or_else(|error| panic!("{error}: {text}"));
        value.into_dictionary().unwrap()
    }

    fn seconds(job: &Dictionary, key: &str) -> u64 {
        job[key].as_unsigned_integer().unwrap()
    }

    #[test]
    fn it_says_where_and_how_the_host_is_started() {
        let job = job(&service());
        assert_eq!(job["Label"].as_string(), Some("baton.shop"));
        let arguments: Vec<&str> = job["ProgramArguments"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_string)
            .collect();
        assert_eq!(arguments[..3], ["/usr/local/bin/baton", "start", "/srv/shop/functions"]);
        assert_eq!(job["WorkingDirectory"].as_string(), Some("/srv/shop"));
        assert_eq!(job["UserName"].as_string(), Some("ada"));
        let environment = job["EnvironmentVariables"].as_dictionary().unwrap();
        assert_eq!(environment["PATH"].as_string(), Some("/opt/tools:/usr/bin:/bin"));
        assert_eq!(environment["HOME"].as_string(), Some("/home/ada"));
        assert!(unit(&service()).unwrap().text.starts_with("<?xml"));
    }

    #[test]
    fn stopping_takes_longer_than_draining() {
        let mut patient = service();
        patient.drain = std::time::Duration::from_secs(600);
        assert_eq!(seconds(&job(&patient), "ExitTimeOut"), 660);
        assert!(seconds(&job(&service()), "ExitTimeOut") > 7200);
    }

    #[test]
    fn it_is_no_background_job_and_may_open_files() {
        let job = job(&service());
        assert_eq!(job["ProcessType"].as_string(), Some("Interactive"));
        let limits = job["SoftResourceLimits"].as_dictionary().unwrap();
        assert_eq!(seconds(limits, "NumberOfFiles"), 10_240);
    }

    #[test]
    fn a_users_own_job_names_no_user() {
        let mut own = service();
        own.scope = Scope::User;
        assert!(!job(&own).contains_key("UserName"));
    }

    type Check = fn(&Value) -> bool;

    fn is_text(value: &Value) -> bool {
        value.as_string().is_some()
    }

    fn is_number(value: &Value) -> bool {
        value.as_unsigned_integer().is_some()
    }

    fn is_flag(value: &Value) -> bool {
        value.as_boolean().is_some()
    }

    fn is_table_of(value: &Value, of: Check) -> bool {
        value.as_dictionary().is_some_and(|table| table.values().all(of))
    }

    /// launchd ignores a key that it does not know, and a value of another type.
    #[test]
    fn every_key_is_one_of_launchds_and_of_its_type() {
        let mut full = service();
        full.socket = true;
        let known: [(&str, Check); 14] = [
            ("Label", is_text),
            ("ProgramArguments", |value| {
                value.as_array().is_some_and(|values| values.iter().all(is_text))
            }),
            ("WorkingDirectory", is_text),
            ("UserName", is_text),
            ("EnvironmentVariables", |value| is_table_of(value, is_text)),
            ("RunAtLoad", is_flag),
            ("KeepAlive", |value| is_table_of(value, is_flag)),
            ("ThrottleInterval", is_number),
            ("ExitTimeOut", is_number),
            ("ProcessType", is_text),
            ("SoftResourceLimits", |value| is_table_of(value, is_number)),
            ("Umask", is_number),
            ("Sockets", |value| {
                is_table_of(value, |socket| is_table_of(socket, is_text))
            }),
            ("StandardErrorPath", is_text),
        ];
        let job = job(&full);
        assert_eq!(job.len(), known.len());
        for (key, value) in &job {
            let (_, is_right) = known.iter().find(|(name, _)| name == key).unwrap();
            assert!(is_right(value), "{key}: {value:?}");
        }
    }

    #[test]
    fn what_xml_would_read_otherwise_is_escaped() {
        let mut odd = service();
        odd.working_folder = "/srv/<a> & \"b\"".to_owned();
        assert_eq!(job(&odd)["WorkingDirectory"].as_string(), Some("/srv/<a> & \"b\""));
        assert_eq!(label("a-b"), "baton.a-b");
    }

    #[test]
    fn with_a_socket_launchd_listens() {
        assert!(!job(&service()).contains_key("Sockets"));
        let mut listening = service();
        listening.socket = true;
        let job = job(&listening);
        let socket = job["Sockets"].as_dictionary().unwrap()["Listeners"]
            .as_dictionary()
            .unwrap();
        assert_eq!(socket["SockServiceName"].as_string(), Some("3111"));
        assert_eq!(socket["SockNodeName"].as_string(), Some("127.0.0.1"));
        assert_eq!(socket["SockType"].as_string(), Some("stream"));
        // launchd makes a socket for each family that is not excluded, and one can be served.
        assert_eq!(socket["SockFamily"].as_string(), Some("IPv4"));
        listening.address = "[::1]:3111".parse().unwrap();
        let job = self::job(&listening);
        let socket = job["Sockets"].as_dictionary().unwrap()["Listeners"]
            .as_dictionary()
            .unwrap();
        assert_eq!(socket["SockNodeName"].as_string(), Some("::1"));
        assert_eq!(socket["SockFamily"].as_string(), Some("IPv6"));
        // The job starts with the machine all the same, not with the first call.
        assert_eq!(job["RunAtLoad"].as_boolean(), Some(true));
    }
}
