package policytest

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// pieces are what S3 has of a signature when it reads a body whose pieces are signed.
type pieces struct {
	key       []byte
	at, scope string
	before    string
}

func (p *pieces) next(algorithm string, digests ...string) string {
	text := strings.Join(slices.Concat([]string{algorithm, p.at, p.scope, p.before}, digests), "\n")
	p.before = hex.EncodeToString(keyed(p.key, text))
	return p.before
}

// check reads a body to its end, as S3's documentation has it ("Transferring Payload in
// Multiple Chunks", "Including Trailing Headers").
func (p *pieces) check(body string, trailer bool) error {
	for last := false; !last; {
		head, rest, _ := strings.Cut(body, "\r\n")
		digits, signature, _ := strings.Cut(head, ";chunk-signature=")
		size, err := strconv.ParseUint(digits, 16, 32)
		if err != nil || uint64(len(rest)) < size {
			return fmt.Errorf("a piece begins with %q, and %d bytes follow", head, len(rest))
		}
		if want := p.next("AWS4-HMAC-SHA256-PAYLOAD", hexSum(""), hexSum(rest[:size])); signature != want {
			return fmt.Errorf("the piece %q has another signature than %s", head, want)
		}
		last, body = size == 0, rest[size:]
		if end, ok := strings.CutPrefix(body, "\r\n"); ok {
			body = end
		} else if !last {
			return fmt.Errorf("the piece %q ends with %q", head, body[:min(len(body), 2)])
		}
	}
	fields, signature, signed := strings.Cut(body, "x-amz-trailer-signature:")
	switch {
	case trailer != signed:
		return fmt.Errorf("the body ends with %q", body)
	case !trailer && body != "":
		return errors.New("the body goes on after its last piece")
	case !trailer:
		return nil
	}
	fields = strings.ReplaceAll(fields, "\r\n", "\n")
	if want := p.next("AWS4-HMAC-SHA256-TRAILER", hexSum(fields)); strings.TrimRight(signature, "\r\n") != want {
		return fmt.Errorf("the trailer %q has another signature than %s", fields, want)
	}
	return nil
}
