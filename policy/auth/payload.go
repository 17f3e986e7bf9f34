package auth

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"outrider/policy/replay"
)

// What stands in X-Amz-Content-Sha256 in place of a digest.
const (
	unsignedPayload = "UNSIGNED-PAYLOAD"
	unsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER" // in chunks, with a checksum at the end, which is not signed either
)

// emptyDigest is that of no body.
var emptyDigest = digestText(sha256.Sum256(nil))

func digestText(sum [sha256.Size]byte) string { return hex.EncodeToString(sum[:]) }

// isDigest reports whether a text is SHA-256 in hexadecimal.
func isDigest(text string) bool {
	return len(text) == 2*sha256.Size && strings.Trim(text, "0123456789abcdef") == ""
}

// payload is what the signature says of the body: its digest, that of the caller if it
// sent one. S3 does not insist on one, over TLS: there, a body that streams is not
// waited for.
func (k *signing) payload(in *injected, scope Scope) (string, error) {
	switch own := in.Header.Get(amzBody); {
	case isDigest(own), own == unsignedPayload, own == unsignedTrailer:
		return own, nil
	case scope.storage() && (own == signedChunks || own == signedTrailer): // see sign
		return own, nil
	case own != "":
		return "", &UnsignableError{"the body is signed piece by piece with another key, in a way that is not known (" + amzBody +
			"), and ours would be missing inside: have the client send UNSIGNED-PAYLOAD, or a digest"}
	case in.Body == nil || in.Body == http.NoBody:
		return emptyDigest, nil
	case scope.storage() && in.URL.Scheme == "https" && !k.small(&in.Request):
		return unsignedPayload, nil
	case in.ContentLength > k.set.ReplayBody || in.ContentLength < 0 && !replay.Possible(&in.Request):
		return "", k.tooLarge()
	case !replay.Possible(&in.Request):
		return "", errCrowded
	}
	return k.digest(in)
}

// small reports whether a body is there whole. One that says nothing of its length, or
// waits to be asked for, streams.
func (k *signing) small(req *http.Request) bool {
	return replay.Possible(req) && req.ContentLength >= 0 && req.ContentLength <= k.set.ReplayBody &&
		req.Header.Get("Expect") == "" && len(req.Trailer) == 0
}

func (k *signing) tooLarge() error {
	return &UnsignableError{fmt.Sprintf("the body has to be read before it can be signed, and is larger than replay_body (%d bytes): raise that", k.set.ReplayBody)}
}

// errCrowded ends a call whose body would be kept, if there were not too many bodies
// that are. Nothing was sent.
var errCrowded error = crowdedError{}

type crowdedError struct{}

func (crowdedError) Error() string {
	return "sigv4: the body has to be read before it can be signed, and there is no room for it now beside those of other calls: send it again later"
}

// Refusal names the error for the stages above and for the answer to the caller.
func (crowdedError) Refusal() (reason string, retryAfter time.Duration) {
	return "bodies-full", time.Second
}

// digest reads the body to its end, and puts it back from its beginning. Its length is
// known then.
func (k *signing) digest(in *injected) (string, error) {
	most := k.set.ReplayBody
	if in.ContentLength >= 0 {
		most = in.ContentLength
	}
	body, err := in.GetBody()
	if err != nil {
		return "", k.tooLarge()
	}
	ctx := in.Context()
	stop := context.AfterFunc(ctx, func() { body.Close() }) // a client that is silent must not outlive its call
	hash := sha256.New()
	n, err := io.Copy(hash, io.LimitReader(body, most+1))
	stop()
	body.Close()
	switch {
	case ctx.Err() != nil:
		return "", context.Cause(ctx)
	case n > most:
		return "", k.tooLarge()
	case err != nil:
		return "", fmt.Errorf("reading the body to sign it: %w", err)
	}
	again, err := in.GetBody()
	if err != nil { // though it is not too large
		return "", errCrowded
	}
	replay.CloseBody(&in.Request)
	in.Body = again
	if in.ContentLength < 0 && len(in.Trailer) == 0 {
		in.ContentLength = n
		if n == 0 {
			in.Body = http.NoBody
		}
	}
	return digestText([sha256.Size]byte(hash.Sum(nil))), nil
}
