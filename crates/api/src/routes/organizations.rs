//! stub
use utoipa_actix_web::service_config::ServiceConfig;
/// stub
pub fn routes(_config: &mut ServiceConfig<'_>) {}
