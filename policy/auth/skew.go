package auth

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"
)

// badSignatures are the codes by which services of AWS say that a key, a session or
// the date of a signature is not good.
var badSignatures = []string{
	"AuthFailure", "ExpiredToken", "IncompleteSignature", "InvalidAccessKeyId", "InvalidClientTokenId", "InvalidSignatureException",
	"InvalidToken", "RequestExpired", "RequestInTheFuture", "RequestTimeTooSkewed", "SignatureDoesNotMatch",
	"TokenRefreshRequired", "UnrecognizedClientException",
}

// refuses reports whether an answer is about the signature, whatever its status: 403
// with most services, 400 with those that speak JSON, 401 with EC2. The code is in a
// field, or else in the body.
func (s *SigV4) refuses(resp *http.Response) bool {
	switch resp.StatusCode {
	case http.StatusBadRequest, http.StatusUnauthorized, http.StatusForbidden:
	default:
		return false
	}
	var refused bool
	if named := resp.Header.Get("X-Amzn-Errortype"); named != "" {
		refused = slices.ContainsFunc(badSignatures, func(code string) bool { return strings.Contains(named, code) })
	} else {
		refused = mentions(resp, badSignatures)
	}
	if refused {
		s.setClock(resp.Header.Get("Date"), wallClock())
	}
	return refused
}

// leastSkew is how wrong a clock has to be before that is the reason of a refusal:
// AWS takes what is 5 minutes off, and S3 15.
const leastSkew = 4 * time.Minute

// setClock compares our clock with that of an answer, which signatures follow from
// then on. An answer without a Date says nothing.
func (s *SigV4) setClock(date string, now time.Time) {
	at, err := http.ParseTime(date)
	if err != nil {
		return
	}
	ahead := at.Sub(now)
	if off := ahead - time.Duration(s.ahead.Load()); off.Abs() < leastSkew {
		return
	}
	if ahead.Abs() < leastSkew {
		ahead = 0 // our own is right again
	}
	s.ahead.Store(int64(ahead))
}

// refusedNow has the keys read anew for the next request.
func (s *SigV4) refusedNow(context.Context, Token) {
	if s.set.Refused != nil {
		s.set.Refused()
	}
}

// accepted has nothing to tell: a key does not get better with its use.
func (s *SigV4) accepted(Token) {}
