//! Finds a CommonJS file's exports before Deno does: on a stack with room for it. Deno then finds the analysis where
//! it keeps them.

use std::sync::Arc;

use deno_ast::MediaType;
use deno_core::url::Url;
use deno_error::JsErrorBox;
use deno_resolver::cjs::CjsTrackerRc;
use deno_resolver::cjs::analyzer::{
    DenoAstModuleExportAnalyzer, DenoCjsAnalysis, ModuleExportAnalyzer as _, NodeAnalysisCache as _,
};
use deno_resolver::npm::DenoInNpmPackageChecker;
use sys_traits::impls::RealSys;

use crate::source::caches::Analyses;
use crate::source::nesting::{NestingError, StackRoom};

/// The stack of the threads beside an isolate's loop, where Deno parses files that are not looked through here.
pub(crate) const BESIDE_STACK: usize = if cfg!(debug_assertions) { 8 << 20 } else { 2 << 20 };

/// A file whose exports are to be found.
pub(crate) struct Analysis {
    pub(super) analyses: Arc<Analyses>,
    pub(super) tracker: CjsTrackerRc<DenoInNpmPackageChecker, RealSys>,
    pub(super) url: Url,
    pub(super) code: Arc<str>,
}

impl Analysis {
    /// Tells whether there is nothing to do: the file has been looked through, or is no CommonJS.
    pub(crate) fn is_done(&self) -> bool {
        let code = self.code();
        let media_type = MediaType::from_specifier(&self.url);
        let is_code = media_type.is_emittable()
            || matches!(
                media_type,
                MediaType::JavaScript | MediaType::Cjs | MediaType::Mjs | MediaType::Unknown
            );
        // Deno takes a binary file in the same way.
        let is_binary = media_type == MediaType::Unknown && code.contains(['\0', '\u{fffd}']);
        let hash = self.analyses.compute_source_hash(code);
        !is_code || is_binary || self.analyses.get_cjs_analysis(&self.url, hash).is_some()
    }

    /// Finds the exports. A file that does not parse is left to Deno, which reports it.
    ///
    /// # Errors
    /// When it is nested too deeply.
    pub(crate) fn run(&self) -> Result<(), NestingError> {
        let media_type = MediaType::from_specifier(&self.url);
        let code = self.code();
        let room = StackRoom::of(code, media_type)?;
        let found = room.run(|| self.look(media_type));
        match found {
            Ok(Some(analysis)) => {
                let hash = self.analyses.compute_source_hash(code);
                self.analyses.set_cjs_analysis(&self.url, hash, &analysis);
                Ok(())
            }
            Ok(None) | Err(_) => StackRoom::within(BESIDE_STACK, code, media_type).map(|_| ()),
        }
    }

    /// Finds the exports as Deno does; `None` for a file that turns out to be no CommonJS.
    fn look(&self, media_type: MediaType) -> Result<Option<DenoCjsAnalysis>, JsErrorBox> {
        let is_maybe_cjs = self.tracker.is_maybe_cjs(&self.url, media_type);
        if !is_maybe_cjs.map_err(JsErrorBox::from_err)? {
            return Ok(None);
        }
        let analyzer = DenoAstModuleExportAnalyzer::new(Arc::default());
        let parsed = analyzer.parse_module(self.url.clone(), media_type, self.code().into())?;
        let is_script = parsed.compute_is_script();
        let is_cjs = self
            .tracker
            .is_cjs_with_known_is_script(&self.url, media_type, is_script);
        let is_cjs = is_cjs.map_err(JsErrorBox::from_err)?;
        Ok(is_cjs.then(|| DenoCjsAnalysis::Cjs(parsed.analyze_cjs())))
    }

    fn code(&self) -> &str {
        self.code.trim_start_matches('\u{feff}')
    }
}
