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
	// AllowsCallback reports whether a callback may go to a URL. Nil: to none.
	AllowsCallback func(url string) bool
}

// allowCallback is the error of a callback that may not go to its URL.
func (l *Limits) allowCallback(url string) error {
	switch {
	case l.AllowsCallback == nil:
		return &CallbackError{"Outrider-Callback is not allowed: outbox.callbacks names no URL"}
	case !l.AllowsCallback(url):
		return &CallbackError{"Outrider-Callback must be a URL that begins with one of outbox.callbacks"}
	}
	return nil
}
