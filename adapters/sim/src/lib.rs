//! A seeded world for any machine.
