package node

// Harden does nothing: files of a user's profile are the user's own on Windows.
func Harden() {}
