//! The shop as a person meets it: real Chromium, step by step, on both databases. What was done is checked by the API.

mod journeys;
