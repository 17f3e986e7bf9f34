package policytest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A Signature is what a request says of its AWS Signature Version 4.
type Signature struct {
	KeyID, Region, Service string
	At                     time.Time
	Fields                 []string // that are signed, in lower case
	Text                   string   // of the signature itself
}

// CheckSigV4 does what a service of AWS does with a request: it makes the signature
// of what arrived, with the secret that it knows, by the text of the documentation
// ("Create a signed AWS API request"), and compares.
func CheckSigV4(r Request, secret string) (Signature, error) {
	s, err := readSignature(r)
	if err != nil {
		return s, err
	}
	payload := hexSum(r.Body)
	switch said := r.Header.Get("X-Amz-Content-Sha256"); {
	case len(said) == 64 && said != payload:
		return s, errors.New("X-Amz-Content-Sha256 is not the digest of the body")
	case said != "":
		payload = said
	}
	fields, err := s.canonicalFields(r)
	if err != nil {
		return s, err
	}
	path, query, _ := strings.Cut(r.Target, "?")
	canonical := strings.Join([]string{r.Method, s.canonicalPath(path), canonicalQuery(query), fields, strings.Join(s.Fields, ";"), payload}, "\n")

	day, at := s.At.Format("20060102"), s.At.Format("20060102T150405Z")
	scope := strings.Join([]string{day, s.Region, s.Service, "aws4_request"}, "/")
	text := strings.Join([]string{"AWS4-HMAC-SHA256", at, scope, hexSum(canonical)}, "\n")
	key := []byte("AWS4" + secret)
	for _, part := range []string{day, s.Region, s.Service, "aws4_request"} {
		key = keyed(key, part)
	}
	if want := hex.EncodeToString(keyed(key, text)); want != s.Text {
		return s, fmt.Errorf("the signature is %s, want %s for\n%s", s.Text, want, canonical)
	}
	if rest, ok := strings.CutPrefix(payload, "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"); ok {
		p := pieces{key, at, scope, s.Text}
		return s, p.check(r.Body, rest == "-TRAILER")
	}
	return s, nil
}

func hexSum(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}

func keyed(key []byte, text string) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return mac.Sum(nil)
}

// readSignature takes Authorization and X-Amz-Date apart.
func readSignature(r Request) (Signature, error) {
	var s Signature
	if n := len(r.Header["Authorization"]); n != 1 {
		return s, fmt.Errorf("%d fields Authorization", n)
	}
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=")
	credential, rest, ok2 := strings.Cut(rest, ", SignedHeaders=")
	fields, text, ok3 := strings.Cut(rest, ", Signature=")
	scope := strings.Split(credential, "/")
	if !ok || !ok2 || !ok3 || len(scope) != 5 || scope[4] != "aws4_request" {
		return s, fmt.Errorf("Authorization is %q", r.Header.Get("Authorization")) //nolint:staticcheck // the name of the field
	}
	at, err := time.Parse("20060102T150405Z", r.Header.Get("X-Amz-Date"))
	if err != nil || at.Format("20060102") != scope[1] {
		return s, fmt.Errorf("X-Amz-Date is %q, and the key is of %s", r.Header.Get("X-Amz-Date"), scope[1])
	}
	return Signature{KeyID: scope[0], Region: scope[2], Service: scope[3], At: at, Fields: strings.Split(fields, ";"), Text: text}, nil
}

// canonicalFields are those that are signed, of which there must not be too few.
func (s *Signature) canonicalFields(r Request) (string, error) {
	for name := range r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") && !slices.Contains(s.Fields, lower) {
			return "", fmt.Errorf("%s is not signed", name)
		}
	}
	if !slices.Contains(s.Fields, "host") || !slices.IsSorted(s.Fields) {
		return "", fmt.Errorf("signed are %q", s.Fields)
	}
	var b strings.Builder
	for _, name := range s.Fields {
		var values []string
		switch name {
		case "host":
			values = []string{r.Host}
		case "content-length":
			values = []string{strconv.Itoa(len(r.Body))}
		default:
			for field, all := range r.Header {
				if strings.ToLower(field) == name {
					values = slices.Clone(all)
				}
			}
		}
		for i, v := range values {
			values[i] = trimmed(v)
		}
		b.WriteString(name + ":" + strings.Join(values, ",") + "\n")
	}
	return b.String(), nil
}

// trimmed is a value without blanks at its ends, and with one for several.
func trimmed(v string) string {
	v = strings.Trim(v, " \t")
	for strings.Contains(v, "  ") {
		v = strings.ReplaceAll(v, "  ", " ")
	}
	return v
}

// canonicalPath is the path of S3 in its one encoding, and another one without what
// says nothing in it, encoded again.
func (s *Signature) canonicalPath(path string) string {
	if s.Service == "s3" {
		if plain, err := url.PathUnescape(path); err == nil {
			path = plain
		}
		return encodedBut(path, "/")
	}
	var kept []string
	for _, segment := range strings.Split(path, "/") {
		switch segment {
		case "", ".":
		case "..":
			kept = kept[:max(len(kept)-1, 0)]
		default:
			kept = append(kept, encodedBut(segment, ""))
		}
	}
	if len(kept) > 0 && strings.HasSuffix(path, "/") {
		kept = append(kept, "")
	}
	return "/" + strings.Join(kept, "/")
}

func canonicalQuery(raw string) string {
	if raw == "" {
		return ""
	}
	var pairs [][2]string
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, _ = url.QueryUnescape(name)
		value, _ = url.QueryUnescape(value)
		pairs = append(pairs, [2]string{encodedBut(name, ""), encodedBut(value, "")})
	}
	slices.SortFunc(pairs, func(a, b [2]string) int {
		return 2*strings.Compare(a[0], b[0]) + strings.Compare(a[1], b[1])
	})
	var all []string
	for _, p := range pairs {
		all = append(all, p[0]+"="+p[1])
	}
	return strings.Join(all, "&")
}

// encodedBut encodes every byte that is not unreserved in RFC 3986, nor in but.
func encodedBut(text, but string) string {
	const unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~"
	var b strings.Builder
	for i := range len(text) {
		if c := text[i]; strings.IndexByte(unreserved+but, c) >= 0 {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
