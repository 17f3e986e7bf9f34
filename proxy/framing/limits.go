package framing

// Limits bound what one request may make the caller of a [Scanner] hold. A zero or
// negative field means its default.
type Limits struct {
	// MaxHead is the size in bytes of a request line and its header section,
	// line ends included. Default 64 KiB.
	MaxHead int
	// MaxLine is the length in bytes of the request line, and of each header
	// line, without its end. Default 32 KiB: some providers take queries of
	// 16 KiB in a URL (RFC 9112 §3 asks for at least 8000).
	MaxLine int
	// MaxHeaders is the number of header fields. Default 256.
	MaxHeaders int
}

// Bounds of chunked bodies.
const (
	maxChunkLine  = 1 << 10 // one chunk line, with its end
	maxExtensions = 8 << 10 // chunk extensions of one body
	maxTrailers   = 4 << 10 // trailer section, with its last line end
)

func (l Limits) withDefaults() Limits {
	if l.MaxHead <= 0 {
		l.MaxHead = 64 << 10
	}
	if l.MaxLine <= 0 {
		l.MaxLine = 32 << 10
	}
	if l.MaxHeaders <= 0 {
		l.MaxHeaders = 256
	}
	return l
}
