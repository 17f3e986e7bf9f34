package alarm

import (
	"slices"
	"time"
)

const (
	courseCell = 5 * time.Minute
	// The two latest cells that are over are judged, by those of the six hours before.
	judgedCells = 2
	beforeCells = int(6 * time.Hour / courseCell)
	// leastSteady is how many calls each cell before has, where calls come steadily: then
	// four times fewer in ten minutes are no chance, and no evening comes so fast.
	leastSteady = 20
	dropFactor  = 5
	// A drop is over when half of what was least is back, and is believed for a day: what
	// has been so since yesterday is usual.
	backFactor = 2
	dropLasts  = 24 * time.Hour
)

// A course counts calls in steps of five minutes.
type course struct {
	cells  [beforeCells + judgedCells + 1]int // the cell of a step is at step mod len
	first  int64                              // step of the first call; 0: there was none
	last   int64                              // the newest step
	called int64                              // the step of the latest call

	down  bool // it has dropped
	usual int  // the least cell before
	fell  int  // calls of the judged cells
	since time.Time
	trace string // of the latest call
}

func stepAt(now time.Time) int64 { return now.Unix() / int64(courseCell/time.Second) }

func (c *course) count(trace string, now time.Time) {
	c.turn(now)
	c.cells[c.last%int64(len(c.cells))]++
	c.called, c.trace = c.last, trace
}

// turn begins new cells when it is time.
func (c *course) turn(now time.Time) {
	step := stepAt(now)
	if c.first == 0 {
		c.first, c.last = step, step
	}
	for passed := min(step-c.last, int64(len(c.cells))); passed > 0; passed-- {
		c.last++
		c.cells[c.last%int64(len(c.cells))] = 0
	}
	c.last = max(c.last, step)
}

// back gives the cell of so many steps ago.
func (c *course) back(steps int) int {
	return c.cells[(c.last-int64(steps))%int64(len(c.cells))]
}

// dropped reports whether calls that came steadily have all but stopped:
//
//	each of the 72 cells of six hours has 20 calls or more, and
//	each of the 2 cells after them less than a fifth of the least of these
func (c *course) dropped(now time.Time) bool {
	if c.first == 0 {
		return false
	}
	c.turn(now)
	if c.down {
		c.down = backFactor*c.back(1) < c.usual && now.Sub(c.since) < dropLasts
		return c.down
	}
	if c.last-c.first < int64(len(c.cells)) { // the first cell is not a whole one
		return false
	}
	before := make([]int, beforeCells)
	for i := range before {
		before[i] = c.back(judgedCells + 1 + i)
	}
	least, most := slices.Min(before), max(c.back(1), c.back(2))
	if least < leastSteady || dropFactor*most >= least {
		return false
	}
	c.down, c.usual, c.fell, c.since = true, least, c.back(1)+c.back(2), now
	return true
}
