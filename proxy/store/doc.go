// Package store is the one SQL store: what has to be there after a restart, in
// one file of the state directory, by SQLite embedded. So far that is slots, the
// places where credentials keep their tokens.
//
//	Open(…) → Store ─ Slot("crm/default") ─ Lock ( Load, Save ) unlock
//
// Every write is on the disk (fsynced) when it returns: SQLite's write-ahead log
// with synchronous=FULL (https://sqlite.org/pragma.html#pragma_synchronous).
// Several processes may have the file open at once, on one machine: the log
// needs shared memory (https://sqlite.org/wal.html), so that a network file
// system that several machines mount is no place for it.
//
// # What is kept where
//
//	store.db             the tables; with store.db-wal and store.db-shm while it is open, and after a crash
//	store.key            the sealing key, where neither OUTRIDER_KEY nor the configuration has one
//
//	migrations           version of the schema → when it was reached
//	seal                 one row: the salt of the key, and a sealed value that tells a wrong key apart
//	slots                id → sealed data, and when it was saved
//	leases               id of a locked slot → its holder (random, of one Lock), and until when
//
// All files are for their owner only, and are refused when they are not. To copy
// a store, stop Outrider and copy store.db (with store.db-wal, if it is there)
// and the key. The key apart from the file is what sealing is for.
//
// # Sealing
//
//	text of the key ── HKDF-SHA256 (salt of the store) ── AES-256-GCM key ── seal(data, bound to table and id)
//
// Data is sealed with a random nonce, and bound to its row: one that was changed,
// or moved to another row, is refused. So whoever gets the file alone, in a
// backup or from a disk that was thrown away, gets no token.
//
// Not protected:
//
//   - What is in the clear: the ids, the times, the lengths of data, the leases.
//   - Against whoever can write the file, or its directory: a row, or all of it,
//     can be removed, or put back as it was earlier.
//   - Against whoever is the same user, or root: they get the key where we get it,
//     or the tokens from our memory.
//   - A store.key beside the store protects from what copies one and not the
//     other; OUTRIDER_KEY, from a secret manager, protects from more.
//
// # Versions
//
// The schema has a version. Open brings an older one to its own, step by step,
// each a transaction; a newer one it refuses, because it does not know what the
// rows of it mean. A damaged file is refused, too, with what to do: it is never
// replaced by an empty one.
package store
