package limit

import "time"

// A gate is a time before which nothing is sent.
//
// Where no rate slows down what has waited behind it, or only a window does, which lets
// many go at once, the gate opens step by step: one call may be on its way, and with
// each good answer one more, which is twice as many each round trip (the slow start of
// RFC 5681 section 3.1). A throttled answer starts again from one; a good answer that
// finds nobody waiting ends it.
type gate struct {
	until   time.Time
	width   int // how many may be on their way while it opens; 0: it is wide open
	passing int // how many are, of those that went out while it opened
}

// close moves the gate to until, but never to an earlier time, and reports
// whether it did. gently says that it is to open step by step.
func (g *gate) close(until time.Time, gently bool) bool {
	if !until.After(g.until) {
		return false
	}
	g.until = until
	if gently {
		g.width = 1
	}
	return true
}

// reset decides anew whether it opens step by step.
func (g *gate) reset(now time.Time, gently bool) {
	if !gently {
		g.width = 0
	} else if now.Before(g.until) {
		g.width = 1
	}
}

// narrow reports whether as many are on their way as may be.
func (g *gate) narrow() bool { return g.width > 0 && g.passing >= g.width }

// pass counts a call that goes out, and reports whether it was counted.
func (g *gate) pass() bool {
	if g.width == 0 {
		return false
	}
	g.passing++
	return true
}

// answered is the answer to a call that was counted. alone says that nobody is
// waiting. An answer while the gate is closed again says nothing of the next
// opening.
func (g *gate) answered(fine bool, now time.Time, alone bool) {
	g.passing--
	switch {
	case g.width == 0 || now.Before(g.until):
	case !fine:
		g.width = 1
	case alone:
		g.width = 0
	default:
		g.width++
	}
}
