package config

// KnownKeys are the paths of all keys that the decoder knows, with NAME in
// place of an upstream's name.
func KnownKeys() []string { return fileKeys.paths() }
