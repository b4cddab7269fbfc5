//! weir-ais
