package socket

const (
	WritesPerLook = writesPerLook
	Queued        = queued
)

// Crowd looks, and reports whether there is one.
func Crowd() bool {
	process.look()
	return process.there.Load()
}
