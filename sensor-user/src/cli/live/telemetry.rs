use super::*;
pub fn export_config(_: &crate::config::export::Export) -> crate::export::ExportConfig { crate::export::ExportConfig }
impl Live { pub fn export_metrics(&mut self) {} }
