package limit

// A Priority is how urgent a call is. The zero Priority is Normal.
type Priority int8

// A call of a higher priority goes before all of a lower one.
const (
	Low    Priority = -1
	Normal Priority = 0
	High   Priority = 1
)

// priorities is how many there are.
const priorities = 3

// index counts the priorities from 0, the lowest, on.
func (p Priority) index() int { return int(p - Low) }

// A Claim is what gives a call its place in line.
type Claim struct {
	Priority Priority
	// Caller is whose call it is. Callers of one priority take turns, however
	// many calls each of them has. "" is a caller, too.
	Caller string
	// Now says that the call goes at once or not at all: it is refused where it would
	// have to wait.
	Now bool
}
