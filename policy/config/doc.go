// Package config reads the TOML document that configures Outrider.
//
// [Parse] turns the document into a [File] of effective values: every default
// is filled in and every rule already stands on its upstream's settings, so
// that a reader never asks where a value came from. Nothing is opened, resolved
// or dialled here: a secret stays a [Reference] and a certificate stays a path.
//
// # What happens to a document
//
//	TOML syntax → tables of known keys → values and their ranges → keys that must agree → File
//
// Reading is strict and complete. An unknown key, a wrong type, a time without
// a unit or two upstreams that claim one host is an error; all of them are
// reported at once as [Errors], each with its key path, its line and what would
// be right. Only a syntax error stands alone, since nothing after it is certain.
//
// What the decoder knows is data: keys.go lists the keys of each table with
// their type and range, and one mechanism (schema.go) reads them. Reading a
// table writes over a copy of the defaults, or of the upstream's settings for a
// rule: that is the whole merge.
//
// # Presets
//
// An upstream that names a preset is laid over the preset's table before anything is
// read (preset.go). Where both have a table, they are laid over each other key by key;
// anything else is one or the other. A credential is laid over what the preset knows
// of its type, limits take the place of the preset's, and rules stand in front of the
// preset's. So there is one reader, and one set of checks. An error about a value that
// the document does not have says which preset it came from.
//
// # Secrets
//
// No message of this package prints a value that may be secret: credentials
// are named by their key only, and a syntax error shows its line masked. A
// literal secret in the document works, and earns a warning.
package config
