package inbound

// deep is the room on the stack that calls take, in bytes.
const deep = 15 << 10

// deepen has the stack of this goroutine grow at once to what a call needs. By itself it
// grows by doubling, and each time what is on it is found and moved, call by call: that is
// cheap here, where hardly anything is on it, and dear in the middle of a chain of policies.
//
//go:noinline
func deepen() byte {
	var room [deep]byte
	return room[len(emptied)]
}

// emptied keeps the compiler from seeing that nothing of the room is used.
var emptied []byte
