//! Configuration files: those that are refused say where and why, those that are taken are taken each time.

use std::path::Path;

use sensor_user::config::Config;

/// The text of a file.
pub fn check(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let path = Path::new("fuzz.toml");
    match Config::parse(&text, path) {
        Ok(config) => {
            assert!(!config.thresholds.is_empty());
            let again = Config::parse(&text, path).map(|config| config.warnings);
            assert_eq!(again, Ok(config.warnings));
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.starts_with("fuzz.toml"), "{message}");
            assert!(message.contains("\nhint: "), "{message}");
            // The line itself, marks under it, and what is wrong with it, which may name it once more or twice.
            assert!(
                message.len() <= 8 * text.len() + (4 << 10),
                "{} bytes of a message about {}",
                message.len(),
                text.len()
            );
        }
    }
}
