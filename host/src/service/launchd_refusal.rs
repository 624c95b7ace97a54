//! The numbers with which `launchctl` exits when launchd refuses, in this module's few words; `launchctl error
//! NUMBER` prints launchd's own words. Pure.

/// The reason why launchd refuses something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LaunchdRefusal {
    /// There is no such job (ESRCH 3, "Could not find specified service" 113).
    NoJob,
    /// launchd is doing that or the opposite (EINPROGRESS 36, EALREADY 37).
    InProgress,
    /// Any reason (EIO 5): a predecessor that is being taken out, a job that is in already, no session.
    Unexplained,
    /// There is no such domain ("Could not find specified domain" 112, "Domain does not support specified
    /// action" 125), or one for other sessions ("Service cannot load in requested session" 134). `gui/UID` is there
    /// only while the user is logged in on the screen, `launchctl(1)` says.
    NoDomain,
}

impl LaunchdRefusal {
    /// Returns the meaning of an exit code, or `None` for a code that says all that there is to say.
    pub(super) const fn of(code: Option<i32>) -> Option<Self> {
        match code {
            Some(3 | 113) => Some(Self::NoJob),
            Some(36 | 37) => Some(Self::InProgress),
            Some(5) => Some(Self::Unexplained),
            Some(112 | 125 | 134) => Some(Self::NoDomain),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::LaunchdRefusal;

    #[test]
    fn each_number_that_baton_acts_on_has_its_word() {
        for (code, refusal) in [
            (3, Some(LaunchdRefusal::NoJob)),
            (113, Some(LaunchdRefusal::NoJob)),
            (36, Some(LaunchdRefusal::InProgress)),
            (37, Some(LaunchdRefusal::InProgress)),
            (5, Some(LaunchdRefusal::Unexplained)),
            (112, Some(LaunchdRefusal::NoDomain)),
            (125, Some(LaunchdRefusal::NoDomain)),
            (134, Some(LaunchdRefusal::NoDomain)),
            (0, None),
            (109, None),
            (122, None),
        ] {
            assert_eq!(LaunchdRefusal::of(Some(code)), refusal, "{code}");
        }
        assert_eq!(LaunchdRefusal::of(None), None, "ended by a signal");
    }
}
