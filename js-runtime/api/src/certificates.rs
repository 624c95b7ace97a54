//! The authorities that a generation's environment trusts, for requests of its code and for requests of the host to
//! it.
//!
//! | variable | effect |
//! |---|---|
//! | `NODE_EXTRA_CA_CERTS`, `DENO_CERT`, `SSL_CERT_FILE`, `SSL_CERT_DIR` | trusts the authorities of that file, or of the files in those folders, too |
//! | `DENO_TLS_CA_STORE` | names the stores: `mozilla`, which is the default, and `system` |
//! | `NODE_USE_SYSTEM_CA=1`, `NODE_OPTIONS=--use-system-ca` | trusts the system's store too |
//! | `NODE_OPTIONS=--use-openssl-ca` | trusts the system's store instead |
//! | `NODE_TLS_REJECT_UNAUTHORIZED=0` | trusts everybody |
//!
//! Relative paths start at the project's folder. A file that cannot be read is warned about and left out, as in Node.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{self, CryptoProvider};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// The variables that say which authorities are trusted.
const FILES: [&str; 3] = ["NODE_EXTRA_CA_CERTS", "DENO_CERT", "SSL_CERT_FILE"];
const FOLDERS: &str = "SSL_CERT_DIR";

/// The variable that has everybody trusted where it is `0`.
pub const REJECT_UNAUTHORIZED: &str = "NODE_TLS_REJECT_UNAUTHORIZED";

/// The authorities that are trusted. Nothing is read before somebody asks for them.
#[derive(Debug, Default)]
pub struct Certificates {
    has_mozilla: bool,
    has_system: bool,
    /// Files, by the variable that names them.
    files: Vec<(&'static str, PathBuf)>,
    folders: Vec<PathBuf>,
    trusts_everybody: bool,
    roots: OnceLock<RootCertStore>,
}

impl Certificates {
    /// Takes the values of the variables; relative paths start at the folder.
    #[must_use]
    pub fn of(variable: impl Fn(&str) -> Option<String>, folder: &Path) -> Self {
        let given = |name: &str| variable(name).filter(|value| !value.is_empty());
        let options = given("NODE_OPTIONS").unwrap_or_default();
        let has_option = |option: &str| options.split_whitespace().any(|given| given == option);
        let stores = given("DENO_TLS_CA_STORE");
        let names_store = |store: &str| {
            let mut named = stores.iter().flat_map(|stores| stores.split(','));
            named.any(|named| named.trim() == store)
        };
        let of_openssl = has_option("--use-openssl-ca");
        let uses_system = has_option("--use-system-ca") || given("NODE_USE_SYSTEM_CA").as_deref() == Some("1");
        let files = FILES.iter().filter_map(|name| Some((*name, folder.join(given(name)?))));
        Self {
            has_mozilla: !of_openssl && (stores.is_none() || names_store("mozilla")),
            has_system: of_openssl || uses_system || names_store("system"),
            files: files.collect(),
            folders: given(FOLDERS)
                .iter()
                .flat_map(std::env::split_paths)
                .map(|path| folder.join(path))
                .collect(),
            trusts_everybody: given(REJECT_UNAUTHORIZED).as_deref() == Some("0"),
            roots: OnceLock::new(),
        }
    }

    /// Tells whether certificates are accepted from everybody.
    #[must_use]
    pub fn trusts_everybody(&self) -> bool {
        self.trusts_everybody
    }

    /// Returns the authorities; reads the files, the first time.
    pub fn roots(&self) -> &RootCertStore {
        self.roots.get_or_init(|| {
            let mut roots = RootCertStore::empty();
            if self.has_mozilla {
                roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            }
            if self.has_system {
                match rustls_native_certs::load_native_certs() {
                    Ok(found) => drop(roots.add_parsable_certificates(found)),
                    Err(error) => tracing::warn!(%error, "cannot read the system's certificates"),
                }
            }
            for (variable, path) in &self.files {
                if let Err(error) = add(&mut roots, path) {
                    tracing::warn!(variable, path = %path.display(), %error, "cannot read extra certificates");
                }
            }
            for folder in &self.folders {
                let files = std::fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()));
                match files {
                    // A folder of OpenSSL's may hold other files.
                    Ok(files) => files.for_each(|path| drop(add(&mut roots, &path))),
                    Err(error) => {
                        let path = folder.display();
                        tracing::warn!(variable = FOLDERS, %path, %error, "cannot read extra certificates");
                    }
                }
            }
            roots
        })
    }

    /// Returns the settings of a client that trusts these authorities.
    ///
    /// # Errors
    /// When the cryptography knows no version of TLS.
    pub fn client(&self) -> Result<ClientConfig, Error> {
        let provider = Arc::new(crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        Ok(if self.trusts_everybody {
            let verifier = Arc::new(AnyCertificate(provider));
            builder
                .dangerous()
                .with_custom_certificate_verifier(verifier)
                .with_no_client_auth()
        } else {
            builder
                .with_root_certificates(self.roots().clone())
                .with_no_client_auth()
        })
    }
}

/// Adds the authorities of a file, in PEM.
fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), String> {
    let found = CertificateDer::pem_file_iter(path).map_err(|error| error.to_string())?;
    let found: Vec<_> = found.collect::<Result<_, _>>().map_err(|error| error.to_string())?;
    match roots.add_parsable_certificates(found) {
        (0, _) => Err("the file has no certificates".to_owned()),
        _ => Ok(()),
    }
}

/// Accepts every certificate.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crypto::verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        crypto::verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use super::Certificates;

    fn of(variables: &[(&str, &str)]) -> Certificates {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Certificates::of(variable, Path::new("/project"))
    }

    #[test]
    fn the_variables_say_which_stores_are_trusted() {
        for (variables, expected) in [
            (&[][..], (true, false)),
            (&[("DENO_TLS_CA_STORE", "system")], (false, true)),
            (&[("DENO_TLS_CA_STORE", "mozilla, system")], (true, true)),
            (&[("NODE_OPTIONS", "--no-warnings --use-system-ca")], (true, true)),
            (&[("NODE_OPTIONS", "--use-openssl-ca")], (false, true)),
            (&[("NODE_USE_SYSTEM_CA", "1")], (true, true)),
            (&[("NODE_USE_SYSTEM_CA", "0")], (true, false)),
        ] {
            let found = of(variables);
            assert_eq!((found.has_mozilla, found.has_system), expected, "{variables:?}");
        }
    }

    #[test]
    fn files_start_at_the_projects_folder_and_empty_variables_say_nothing() {
        let found = of(&[
            ("NODE_EXTRA_CA_CERTS", "ca.pem"),
            ("SSL_CERT_FILE", "/etc/ca.pem"),
            ("DENO_CERT", ""),
            ("SSL_CERT_DIR", "a:/b"),
        ]);
        let files: Vec<_> = found.files.iter().map(|(_, path)| path.clone()).collect();
        assert_eq!(files, ["/project/ca.pem", "/etc/ca.pem"].map(PathBuf::from));
        assert_eq!(found.folders, ["/project/a", "/b"].map(PathBuf::from));
        assert!(found.roots().len() > 50, "a missing file takes nothing away");
        assert!(!found.trusts_everybody());
        assert!(of(&[("NODE_TLS_REJECT_UNAUTHORIZED", "0")]).trusts_everybody());
    }
}
