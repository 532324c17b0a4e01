//! stub
use store::{Db, StoreError};
/// stub
#[derive(Debug)] pub enum VerifyError { /// d
 Difference(String), /// s
 Store(StoreError) }
/// stub
pub async fn verify(_: &Db, _: &[u8;32], _: &str) -> Result<String, VerifyError> { Ok(String::new()) }
