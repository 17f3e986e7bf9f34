// Package preset knows the providers: what their documentation says that a
// configuration would otherwise have to repeat, as data, one file a provider.
//
// # What a file holds
//
// The table [upstream] is in the form of an [upstream.NAME] of the configuration,
// and package config lays the user's table over it, key by key, before its one
// reader and its one set of checks see either. So a file can say what a
// configuration can say and nothing else, and a wrong key in it fails a test. The
// rest is for people and for commands: title, sources, notes, and a probe.
//
// The list answer says what refusals mean that look alike, and which good answers are none:
// see package answer. Only words that the provider documents, or that its own library
// looks for, stand there.
//
// The table auth is the exception. It has one table for each type of credential of
// which there is something to say, and in type the one that is meant when the user
// names none. No file holds any part of a secret.
//
// # What is left to the user
//
// Credentials, and what differs from one customer of a provider to the next: the
// host of a shop or an org, the tenant of a directory. A file leaves such a key out
// and says under [needs] what belongs there, for the error that asks for it. A
// parameter of presets (shop = "acme") would be shorter by a few letters, but it
// would hide where calls go, and be a second way to say what url says. What follows
// from a URL that the user wrote is filled in, for the URLs of auth: "{host}" is the
// host of the upstream's url, and "{token_base}" is token_url up to its last slash.
//
// A url is a host without a path, although documentation likes to count a version to
// it: so what the documentation shows behind the host is what stands behind the base
// URL, in rules, and in calls that come by proxy.
//
// A token_url is part of the name under which the tokens of a connection are kept: a
// release that changes one here makes everybody who uses it log in again. Before that,
// the old name has to lead to the new.
//
// # How much is known
//
// What the provider documents or says, what its own library does, and what an issue
// among the sources shows stands in a file. What could not be confirmed does not: there
// the file is silent, and the general default holds. Where a limit depends on the plan,
// there is the lowest one, or none if that would be in everybody's way; the notes say
// which. What these files say was read from August to November of 2026, and verified_on
// is the first day of the last of these months.
package preset
