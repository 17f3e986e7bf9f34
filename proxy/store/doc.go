// Package store is the one SQL store: what has to be there after a restart. That is
// slots, the places where credentials keep their tokens; how far quotas are spent, whose
// windows are longer than a restart takes; and letters, the calls that are kept.
//
//	Open(…) → Store ┬ Slot("crm/default") ─ Lock ( Load, Save ) unlock
//	                ├ Quotas, SaveQuotas
//	                └ Outbox ┬ Keep, Release
//	                         ├ Hold ─ Lanes, Claim ( Depart, Later or End ) Close
//	                         ├ Get, List, Counts, Body, Response
//	                         └ Cancel, Requeue, Replace, Drop, Hurry, Sweep
//
// # Engines
//
//	SQLite      embedded, one file in the state directory; several processes of one machine
//	PostgreSQL  by Settings.URL: shared by machines; nothing else is done differently
//
// Schema, statements and the code around them are the same; engine.go has the few
// words that differ, sqlite.go and postgres.go how each is opened.
//
// Every write is on the disk (fsynced) of the database when it returns: SQLite's
// write-ahead log with synchronous=FULL (https://sqlite.org/pragma.html#pragma_synchronous),
// PostgreSQL with synchronous_commit on. SQLite's log needs shared memory
// (https://sqlite.org/wal.html), so that a network file system that several machines
// mount is no place for it. In PostgreSQL a server with fsync = off earns a warning,
// and a pooler that hands sessions around has to give the role synchronous_commit = on
// itself.
//
// A disk that is full does not stop SQLite: see reserve.go. Tokens come first there:
// quotas and letters take nothing of the room that is reserved. What a letter has to tell
// then is told: that it was sent, and how it ended, which takes no room; its answer may be
// left out.
//
// # Letters
//
// A letter is known here as bytes: a head, a body, records of attempts, an answer. What
// they say, and when a letter is sent or given up, is decided elsewhere.
//
//	arriving ── waiting ┬── delivered
//	             ↑      ├── cancelled
//	             └───── └── dead
//
// Here is what must hold for several processes, and through crashes:
//
//   - A letter that Keep acknowledged is there, and one that it refused is not. A body that
//     comes in pieces belongs to nobody until it is whole; a batch, until its Release.
//   - A letter is held by one sender at a time. A holder that died, or was silent for 30
//     seconds, loses it to another, and learns so before it sends: Depart asks the row of
//     the letter, and no clock.
//   - What was on the wire is known afterwards: Depart is durable before anything is sent.
//   - Letters of an order key go one after the other: see turn.go.
//   - A dedup key stands for its letter through its window, for all who come together.
//   - All letters are within their bound: the tallies are of the same transaction.
//
// Whoever writes takes along all who wait to: see commit.go. The transactions that add
// letters, or change whose turn it is, are one at a time over all processes; those of
// senders run beside each other, and change letters in the order of their ids.
//
// What it costs goes by what is asked for, and not by how many letters there are: lanes,
// dues, ends and pages are found by an index, and counts are kept.
//
// # What is kept where
//
//	store.db             SQLite's tables; with store.db-wal and store.db-shm while it is open, and after a crash
//	store.room           nothing; the room of store.db-wal while nobody has the store open, see reserve.go
//	store.alive          empty; who has the store open has a lock on a byte of it (Linux)
//	store.key            the sealing key, where neither OUTRIDER_KEY nor the configuration has one
//	store.key.new, .old  while and after it is replaced: see Store.Rekey
//
//	outrider_migrations  version of the schema → when it was reached
//	outrider_seal        one row: the salt of the key, and a sealed value that tells a wrong key apart
//	outrider_slots       id → sealed data, and when it was saved
//	outrider_leases      id of a locked slot → its holder (random, of one Lock), and until when
//	outrider_quotas      upstream, limit and key of a quota → how far it is spent, and until when that counts
//	outrider_data_keys   number → sealed key of letters; 0: that of names
//	outrider_letters     id → upstream, lane, state, times, sizes, holder; hashes of its order and dedup keys
//	outrider_pieces      letter, part, number → a sealed piece of it
//	outrider_dedups      hash of a dedup key → its letter, and until when
//	outrider_tallies     upstream, state, reason → how many letters, and how many bytes
//	outrider_senders     who sends letters → until when its lease is
//
// The names begin with outrider_ because a PostgreSQL may be that of the application,
// too. A schema of our own would have to be named in a setting of each session, which
// poolers refuse or lose; who wants one adds search_path=… to the URL, and has a store
// for each that way.
//
// All files are for their owner only, and are refused when they are not. To copy
// a store, stop Outrider and copy store.db (with store.db-wal, if it is there)
// and the key. The key apart from the store is what sealing is for.
//
// # Sealing
//
//	text of the key ── HKDF-SHA256 (salt of the store) ── AES-256-GCM key ── seal(data, bound to table and id)
//
// Data is sealed with a random nonce, and bound to its row: one that was changed,
// or moved to another row, is refused. So whoever gets the file or the tables alone,
// in a backup, as the administrator of the database, or from a disk that was thrown
// away, gets no token.
//
// A key can be replaced while Outriders run (Store.Rekey). A seal is known by its salt:
// what is written, and each lock, is for the seal that the writer knows, in the same
// statement. So nothing is ever written that the key of the store does not open, and
// nobody fetches under a lock what it could not save.
//
// Letters are sealed with data keys, which are kept sealed themselves:
//
//	data key ── HKDF-SHA256 (id of the letter) ── AES-256-GCM key ── seal(piece, bound to part, number, being the last)
//
// So a Rekey seals some keys anew, and not a million letters. It makes a new data key for
// the letters to come, and drops those that no letter needs any more. Names that only have
// to be found again, such as dedup keys, are kept as HMAC-SHA256, by a key that stays.
//
// A letter of which something was changed is known by that: it is Damaged, and the others
// go on.
//
// Not protected:
//
//   - What is in the clear: the ids, the times, the lengths of data, the leases, the quotas,
//     and of letters upstream, lane, state and reason.
//   - Against whoever can write the store: a row, or all of it, can be removed, or
//     put back as it was earlier.
//   - What an old key sealed is in backups, and may be in free parts of the file, of
//     its log or of the table for a while. A key that leaked is a reason to replace
//     the tokens, too.
//   - Against whoever is the same user, or root: they get the key where we get it,
//     or the tokens from our memory.
//   - A store.key beside the store protects from what copies one and not the
//     other; OUTRIDER_KEY, from a secret manager, protects from more.
//
// The keyring of the operating system is not looked in unless the configuration
// names it: one that is locked, or has no session to belong to, as after a restart at
// night, would keep Outrider from its tokens until somebody comes.
//
// # Versions
//
// The schema has a version. Open brings an older one to its own, step by step,
// each a transaction; a newer one it refuses, because it does not know what the
// rows of it mean. A damaged file is refused, too, with what to do: it is never
// replaced by an empty one. Nor is one that was emptied taken for a new one: see blank.go.
package store
