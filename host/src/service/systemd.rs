//! A service as systemd's units. Pure: text of a [`Service`], for the manual pages systemd.service(5),
//! systemd.exec(5), systemd.kill(5) and systemd.socket(5).
//!
//! With a socket, calls wait in it whenever the service does not run. systemd gives a port up for good when it starts
//! the service too often for the calls that wait there (`TriggerLimitBurst=`: 20 times in 2 s, or when the service
//! meets its own `StartLimitBurst=`). So every failure is retried at the pace of `RestartSec=`, exit code 78 too: a
//! service that failed and is not restarted is started by the next connection at once, again and again.

use std::path::PathBuf;

use super::{Scope, Service, UnitFile};

/// The first version that knows `Type=notify-reload`.
const NOTIFY_RELOAD_SINCE: u32 = 253;

/// Returns the name of the service's unit.
#[must_use]
pub fn unit_name(name: &str) -> String {
    format!("baton-{name}.service")
}

/// Returns the name of the unit that listens for the service.
#[must_use]
pub fn socket_name(name: &str) -> String {
    format!("baton-{name}.socket")
}

/// Returns the units, the service's first. `version` is systemd's; without it every version understands the units.
#[must_use]
pub fn units(service: &Service, version: Option<u32>) -> Vec<UnitFile> {
    let mut units = vec![UnitFile {
        name: unit_name(&service.name),
        text: service_unit(service, version.is_some_and(|version| version >= NOTIFY_RELOAD_SINCE)),
    }];
    if service.socket {
        units.push(UnitFile {
            name: socket_name(&service.name),
            text: socket_unit(service),
        });
    }
    units
}

fn service_unit(service: &Service, notify_reload: bool) -> String {
    let Service {
        name,
        owner,
        working_folder,
        binary,
        ..
    } = service;
    let command: Vec<String> = std::iter::once(quoted(binary, false))
        .chain(service.arguments.iter().map(|argument| quoted(argument, true)))
        .collect();
    let (network, user, wanted_by) = match service.scope {
        Scope::System => (
            "Wants=network-online.target\nAfter=network-online.target\n",
            format!("User={}\n", owner.name),
            "multi-user.target",
        ),
        // A user's manager has neither.
        Scope::User => ("", String::new(), "default.target"),
    };
    let reload = if notify_reload {
        "Type=notify-reload\n"
    } else {
        "Type=notify\nExecReload=/bin/kill -HUP $MAINPID\n"
    };
    let requires = if service.socket {
        format!("Requires={}\n", socket_name(name))
    } else {
        String::new()
    };
    let restart = if service.socket {
        "\
# A service that was told to end (exit code 0) stays ended until the next call. After every other end it is started
# again at this pace, also when only a person can mend the fault (78): calls wait meanwhile, each of them would start
# it at once, and systemd closes a port for which it starts a service too often.
Restart=on-failure
RestartSec=1
"
    } else {
        "\
# A service that was told to end (exit code 0) stays ended; a fault that no retry can mend (78) is not retried.
Restart=on-failure
RestartSec=1
RestartPreventExitStatus=78
"
    };
    let command = command.join(" ");
    let folder = working_folder.replace('%', "%%");
    let search_path = quoted(&format!("PATH={}", service.search_path), false);
    let stop = service.stop_timeout().as_secs();
    format!(
        "\
# Made by `baton service`. Changes of your own: `systemctl edit baton-{name}`, which outlives the next install.
[Unit]
Description=Baton: the Inngest functions of {name}
{requires}{network}# Restarts have no limit.
StartLimitIntervalSec=0

[Service]
# A reload (SIGHUP) replaces the host by the binary as it is by then; no call is lost.
{reload}\
ExecStart={command}
WorkingDirectory={folder}
{user}\
Environment={search_path}
# For a start, and for a reload: a kill makes neither faster.
TimeoutStartSec=infinity
# The supervisor is never busy: when it is silent for this long, it hangs.
WatchdogSec=2min
{restart}\
# SIGTERM is for the supervisor alone: the steps' own programs finish with their steps.
KillMode=mixed
# Above the drain budget.
TimeoutStopSec={stop}
# A program of a step that takes too much memory does not take the service with it.
OOMPolicy=continue
LimitNOFILE=65536
# No program of a step gains rights that the service's user does not have (sudo, ping), and other users cannot read its files.
NoNewPrivileges=yes
UMask=0077

[Install]
WantedBy={wanted_by}
"
    )
}

fn socket_unit(service: &Service) -> String {
    let Service { name, address, .. } = service;
    let ip = address.ip();
    let free_bind = if ip.is_unspecified() || ip.is_loopback() {
        ""
    } else {
        "\
# systemd listens before the network has its addresses.
FreeBind=yes
"
    };
    format!(
        "\
# Made by `baton service`. Calls wait here while the service is down, and start it.
[Unit]
Description=Baton: the port of {name}

[Socket]
ListenStream={address}
# As many calls may wait as the system allows (sysctl net.core.somaxconn, usually 4096).
Backlog=65535
{free_bind}
[Install]
WantedBy=sockets.target
"
    )
}

/// Quotes a word of a setting. Only in arguments `$` begins a variable, and is doubled.
fn quoted(text: &str, argument: bool) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./:@+=,".contains(letter);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut quoted = String::from('"');
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '%' => quoted.push_str("%%"),
            '$' if argument => quoted.push_str("$$"),
            _ => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

/// Returns the working folder of a unit that was made here, or `None` for a text that is no such unit.
pub(super) fn working_folder_in(unit: &str) -> Option<PathBuf> {
    let mut lines = unit.lines();
    let folder = lines.find_map(|line| line.strip_prefix("WorkingDirectory="))?;
    Some(folder.replace("%%", "%").into())
}

/// Returns the port in the text of a socket's unit.
pub(super) fn port_in(unit: &str) -> Option<&str> {
    let mut lines = unit.lines();
    let address = lines.find_map(|line| line.strip_prefix("ListenStream="))?;
    address.rsplit(':').next()
}

/// Returns the version in the output of `systemctl --version`: `systemd 252 (252.38-1~deb12u1)`.
#[must_use]
pub fn version_in(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("systemd ")?;
    let end = digits
        .find(|letter: char| !letter.is_ascii_digit())
        .unwrap_or(digits.len());
    digits[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::{port_in, units, version_in, working_folder_in};
    use crate::service::tests::service;
    use crate::service::{Scope, Service, UnitFile};

    fn unit(service: &Service, version: Option<u32>) -> String {
        units(service, version).remove(0).text
    }

    /// Returns the value of a setting; panics unless the setting is there once.
    fn value<'a>(unit: &'a str, key: &str) -> &'a str {
        let mut values = unit
            .lines()
            .filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let value = values.next().unwrap_or_else(|| panic!("no {key} in {unit}"));
        assert_eq!(values.next(), None, "{key} twice in {unit}");
        value
    }

    #[test]
    fn it_says_where_and_how_the_host_is_started() {
        let unit = unit(&service(), Some(257));
        assert_eq!(
            value(&unit, "ExecStart"),
            "/usr/local/bin/baton start /srv/shop/functions --host 127.0.0.1 --port 3111"
        );
        assert_eq!(value(&unit, "WorkingDirectory"), "/srv/shop");
        assert_eq!(value(&unit, "User"), "ada");
        assert_eq!(value(&unit, "Environment"), "PATH=/opt/tools:/usr/bin:/bin");
        assert_eq!(value(&unit, "WantedBy"), "multi-user.target");
    }

    #[test]
    fn stopping_takes_longer_than_draining_and_hits_the_supervisor_alone() {
        let unit = unit(&service(), None);
        assert!(value(&unit, "TimeoutStopSec").parse::<u64>().unwrap() > 7200);
        assert_eq!(value(&unit, "KillMode"), "mixed");
        assert_eq!(value(&unit, "RestartPreventExitStatus"), "78");
        assert_eq!(value(&unit, "Restart"), "on-failure");
    }

    #[test]
    fn a_systemd_too_old_for_notify_reload_gets_what_it_knows() {
        assert_eq!(value(&unit(&service(), Some(253)), "Type"), "notify-reload");
        for old in [Some(252), None] {
            let unit = unit(&service(), old);
            assert_eq!(value(&unit, "Type"), "notify");
            assert_eq!(value(&unit, "ExecReload"), "/bin/kill -HUP $MAINPID");
        }
        assert_eq!(version_in("systemd 252 (252.38-1~deb12u1)\n+PAM"), Some(252));
        assert_eq!(version_in("systemd 255.4"), Some(255));
        assert_eq!(version_in("launchd"), None);
    }

    #[test]
    fn a_users_own_service_names_no_user() {
        let mut own = service();
        own.scope = Scope::User;
        let unit = unit(&own, None);
        assert!(!unit.contains("User="), "{unit}");
        assert!(!unit.contains("network-online"), "{unit}");
        assert_eq!(value(&unit, "WantedBy"), "default.target");
    }

    #[test]
    fn what_systemd_would_read_otherwise_is_quoted() {
        let mut odd = service();
        odd.binary = "/opt/my tools/100%/baton".to_owned();
        odd.arguments = vec!["start".to_owned(), "/srv/$HOME/\"q\"\\".to_owned()];
        odd.working_folder = "/srv/a b/50%".to_owned();
        let unit = unit(&odd, None);
        assert_eq!(
            value(&unit, "ExecStart"),
            r#""/opt/my tools/100%%/baton" start "/srv/$$HOME/\"q\"\\""#
        );
        assert_eq!(value(&unit, "WorkingDirectory"), "/srv/a b/50%%");
        assert_eq!(working_folder_in(&unit), Some("/srv/a b/50%".into()));
    }

    fn with_a_socket_at(address: &str) -> Vec<UnitFile> {
        let mut listening = service();
        listening.socket = true;
        listening.address = address.parse().unwrap();
        units(&listening, None)
    }

    #[test]
    fn with_a_socket_systemd_listens_and_both_start_with_the_machine() {
        let units = with_a_socket_at("127.0.0.1:3111");
        assert_eq!(units[1].name, "baton-shop.socket");
        assert_eq!(value(&units[1].text, "ListenStream"), "127.0.0.1:3111");
        assert_eq!(value(&units[0].text, "Requires"), "baton-shop.socket");
        assert_eq!(value(&units[0].text, "WantedBy"), "multi-user.target");
        assert_eq!(value(&units[1].text, "WantedBy"), "sockets.target");
        let alone = super::units(&service(), None);
        assert_eq!(alone.len(), 1);
        assert!(!alone[0].text.contains(".socket"), "{}", alone[0].text);
    }

    #[test]
    fn what_waits_in_the_socket_never_makes_systemd_close_it() {
        let units = with_a_socket_at("127.0.0.1:3111");
        let unit = &units[0].text;
        assert!(!unit.contains("RestartPreventExitStatus"), "{unit}");
        assert_eq!(value(unit, "Restart"), "on-failure");
        // Far below 20 times in 2 s, which is systemd's limit for a socket.
        assert_eq!(value(unit, "RestartSec"), "1");
        assert_eq!(value(unit, "StartLimitIntervalSec"), "0");
        // The number is 128 in older versions of systemd.
        assert!(value(&units[1].text, "Backlog").parse::<u32>().unwrap() >= 4096);
    }

    #[test]
    fn an_address_that_the_network_brings_later_is_listened_on_already() {
        for (address, later) in [
            ("127.0.0.1:80", false),
            ("0.0.0.0:80", false),
            ("[::]:80", false),
            ("10.1.2.3:80", true),
            ("[fd00::1]:80", true),
        ] {
            let socket = with_a_socket_at(address).remove(1).text;
            assert_eq!(value(&socket, "ListenStream"), address);
            assert_eq!(port_in(&socket), Some("80"));
            assert_eq!(socket.contains("\nFreeBind=yes\n"), later, "{socket}");
        }
    }
}
