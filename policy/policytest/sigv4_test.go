package policytest_test

import (
	"net/http"
	"strings"
	"testing"

	"outrider/policy/policytest"
)

// The examples of S3's documentation, "Transferring Payload in Multiple Chunks" and
// "Including Trailing Headers".
func TestPublishedChunksAreAccepted(t *testing.T) {
	const secret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY" //nolint:gosec // the one of the documentation
	request := func(payload, fields, signature string, signatures ...string) policytest.Request {
		r := policytest.Request{
			Method: "PUT", Target: "/examplebucket/chunkObject.txt", Host: "s3.amazonaws.com",
			Header: http.Header{
				"X-Amz-Date": {"20130524T000000Z"}, "X-Amz-Storage-Class": {"REDUCED_REDUNDANCY"}, "Content-Encoding": {"aws-chunked"},
				"X-Amz-Decoded-Content-Length": {"66560"}, "X-Amz-Content-Sha256": {payload},
				"Authorization": {"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request, SignedHeaders=" + fields + ", Signature=" + signature},
			},
			Body: "10000;chunk-signature=" + signatures[0] + "\r\n" + strings.Repeat("a", 65536) + "\r\n" +
				"400;chunk-signature=" + signatures[1] + "\r\n" + strings.Repeat("a", 1024) + "\r\n" +
				"0;chunk-signature=" + signatures[2] + "\r\n",
		}
		if len(signatures) > 3 {
			r.Header.Set("X-Amz-Trailer", "x-amz-checksum-crc32c")
			r.Body += "x-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:" + signatures[3] + "\r\n"
		}
		r.Body += "\r\n"
		return r
	}
	for name, r := range map[string]policytest.Request{
		"chunks": request("STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
			"content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class",
			"4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
			"ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
			"0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
			"b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"),
		"a trailer": request("STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER",
			"content-encoding;host;x-amz-content-sha256;x-amz-date;x-amz-decoded-content-length;x-amz-storage-class;x-amz-trailer",
			"106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
			"b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2",
			"1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7",
			"2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992",
			"d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"),
	} {
		if _, err := policytest.CheckSigV4(r, secret); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, part := range []string{"10000;chunk-signature=", "400;chunk-signature=", "0;chunk-signature=", "x-amz-trailer-signature:"} {
			broken := r
			at := strings.LastIndex(r.Body, part) + len(part)
			broken.Body = r.Body[:at] + strings.Repeat("0", 64) + r.Body[at+64:]
			if _, err := policytest.CheckSigV4(broken, secret); err == nil && strings.Contains(r.Body, part) {
				t.Errorf("%s: another signature after %s is accepted", name, part)
			}
		}
	}
}
