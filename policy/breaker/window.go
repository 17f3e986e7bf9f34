package breaker

import "time"

// buckets is how many parts a window has: it moves on by a tenth at a time.
const buckets = 10

// tally counts attempts that ended.
type tally struct {
	ok, failed uint32
	slow       uint32      // among ok and failed
	paces      [kinds]pace // of ok
}

func (t *tally) add(other *tally) {
	t.ok += other.ok
	t.failed += other.failed
	t.slow += other.slow
	for k := range t.paces {
		t.paces[k].add(other.paces[k])
	}
}

func (t *tally) ended() uint32 { return t.ok + t.failed }

// window counts the attempts that ended within the last `width * buckets`.
type window struct {
	epoch   uint64        // counts the resets; the first is 1
	start   time.Time     // of bucket number 0
	width   time.Duration // of one bucket
	head    int64         // number of the newest bucket
	buckets [buckets]tally

	older tally // what of the buckets before the newest counts at a time
	asOf  int64 // in the bucket of this number; 0: it is not known
}

// reset makes the window empty and spans it over d from now on.
func (w *window) reset(d time.Duration, now time.Time) {
	*w = window{epoch: w.epoch + 1, start: now, width: d / buckets}
}

// at gives the bucket of time t in a window that spans d, moving on if t is past the
// newest, and where that is. The bucket is nil for a time that the window has left behind.
func (w *window) at(t time.Time, d time.Duration) (*tally, credit) {
	if number := w.number(t); number == w.head && w.width == d/buckets { // mostly
		return &w.buckets[number%buckets], credit{w.epoch, number}
	}
	return w.moved(t, d)
}

// moved is at where the window has to be another, or t is not in the newest bucket.
func (w *window) moved(t time.Time, d time.Duration) (*tally, credit) {
	if w.width != d/buckets {
		w.reset(d, t)
	}
	number := w.number(t)
	return w.bucket(number), credit{w.epoch, number}
}

// bucket gives the bucket of a number, moving on if it is past the newest. It is nil
// for one that the window has left behind.
func (w *window) bucket(number int64) *tally {
	if number != w.head {
		w.asOf = 0
	}
	if number < 0 || number <= w.head-buckets {
		return nil
	}
	if number >= w.head+buckets {
		w.buckets = [buckets]tally{}
		w.head = number
	}
	for ; w.head < number; w.head++ {
		w.buckets[(w.head+1)%buckets] = tally{}
	}
	return &w.buckets[number%buckets]
}

// number is that of the bucket of time t; -1: it is before all of them.
func (w *window) number(t time.Time) int64 {
	since := t.Sub(w.start)
	if since < 0 {
		return -1
	}
	return int64(since / w.width)
}

// parts are what counts when the newest bucket is the one of that number, or of
// a greater one if there is: those before the last that anything was counted in,
// and that one, which is nil if it counts no longer. It changes nothing of what counts.
func (w *window) parts(newest int64) (older, last *tally) {
	newest = max(newest, w.head)
	if w.asOf != newest || newest == 0 {
		w.addUp(newest)
	}
	if newest-w.head < buckets {
		last = &w.buckets[w.head%buckets]
	}
	return &w.older, last
}

func (w *window) addUp(newest int64) {
	w.older, w.asOf = tally{}, newest
	for number := max(0, newest-buckets+1); number < w.head; number++ {
		w.older.add(&w.buckets[number%buckets])
	}
}

// sum is parts together.
func (w *window) sum(newest int64) tally {
	older, last := w.parts(newest)
	all := *older
	if last != nil {
		all.add(last)
	}
	return all
}
