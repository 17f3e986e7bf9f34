package outbox

import "time"

// Limits are the settings of an outbox that a reload may change.
type Limits struct {
	MaxAge      time.Duration // of a letter; then it is dead
	KeepResults time.Duration // of delivered and cancelled letters
	KeepDead    time.Duration // of dead ones
	DedupWindow time.Duration // for how long a key tells a duplicate
	MaxSize     int64         // of all letters, in bytes
	MaxBody     int64         // of one letter, and of one kept answer, in bytes
	Attempts    int           // of one letter; local refusals are none
	Concurrency int           // letters under way to one upstream
	SkipDead    bool          // a dead letter does not hold up those behind it in its order key
	Priority    string        // of letters that ask for none: high, normal or low
	Callbacks   []string      // URL prefixes that a callback may have; none: no callbacks
}
