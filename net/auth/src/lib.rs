//! weir-auth
