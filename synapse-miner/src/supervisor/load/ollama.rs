//! Ollama's `/api/ps`.

use serde::Deserialize;

use super::{EngineLoad, LoadedModel};

#[derive(Deserialize)]
struct Running {
    models: Vec<LoadedModel>,
}

pub(super) fn running(body: &[u8], load: &mut EngineLoad) -> Option<()> {
    let running: Running = serde_json::from_slice(body).ok()?;
    load.loaded = running.models;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_which_models_are_loaded() {
        let body = br#"{"models":[{"name":"smol:latest","model":"smol:latest","size":200,"digest":"x","size_vram":150}]}"#;
        let mut load = EngineLoad::default();
        running(body, &mut load).expect("it is what Ollama sends");
        let [model] = &load.loaded[..] else {
            panic!("one model: {load:?}");
        };
        assert_eq!(
            (model.name.as_str(), model.size, model.size_vram),
            ("smol:latest", 200, 150)
        );
        assert_eq!(running(b"[]", &mut load), None);
    }
}
