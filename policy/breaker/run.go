package breaker

import "time"

// runLasts is how long failures have to go on to be a run. One event can fail all
// calls that are on their way, such as the end of a connection that a hundred
// streams share, and the next call is good. It is worth no opening, which costs
// seconds; and a second of failures is next to nothing in an outage.
const runLasts = time.Second

// run is how many attempts failed without a success between them, and since when.
type run struct {
	length int
	begun  time.Time // when the first of them ended
}

// add counts an attempt that failed now.
func (r *run) add(now time.Time) {
	if r.length == 0 {
		r.begun = now
	}
	r.length++
}

// end notes a success.
func (r *run) end() {
	if r.length > 0 { // seldom
		*r = run{}
	}
}
