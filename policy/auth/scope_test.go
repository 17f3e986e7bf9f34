package auth_test

import (
	"strings"
	"testing"

	"outrider/policy/auth"
)

func TestScopeIsReadFromTheNamesOfEndpoints(t *testing.T) {
	for _, test := range []struct{ host, region, service string }{
		{"dynamodb.eu-west-1.amazonaws.com", "eu-west-1", "dynamodb"},
		{"dynamodb.eu-west-1.amazonaws.com:443", "eu-west-1", "dynamodb"},
		{"DynamoDB.EU-West-1.amazonaws.com", "eu-west-1", "dynamodb"},
		{"dynamodb-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1", "dynamodb"},
		{"dynamodb.us-east-1.api.aws", "us-east-1", "dynamodb"},
		{"123456789012.ddb.us-east-1.amazonaws.com", "us-east-1", "dynamodb"},
		{"streams.dynamodb.us-east-1.amazonaws.com", "us-east-1", "dynamodb"},
		{"vpce-0a1b.dynamodb.us-east-1.vpce.amazonaws.com", "us-east-1", "dynamodb"},
		{"dynamodb.cn-north-1.amazonaws.com.cn", "cn-north-1", "dynamodb"},
		{"sqs.ap-southeast-3.amazonaws.com", "ap-southeast-3", "sqs"},
		{"eu-west-1.queue.amazonaws.com", "eu-west-1", "sqs"},
		{"queue.amazonaws.com", "us-east-1", "sqs"},

		{"s3.amazonaws.com", "us-east-1", "s3"},
		{"bucket.s3.amazonaws.com", "us-east-1", "s3"},
		{"my-bucket-1.s3.amazonaws.com", "us-east-1", "s3"},
		{"eu-west-1.s3.amazonaws.com", "us-east-1", "s3"}, // a bucket with that name
		{"s3.eu-west-1.amazonaws.com", "eu-west-1", "s3"},
		{"bucket.s3.eu-west-1.amazonaws.com", "eu-west-1", "s3"},
		{"a.b.c.s3.eu-west-1.amazonaws.com", "eu-west-1", "s3"},
		{"s3-eu-west-1.amazonaws.com", "eu-west-1", "s3"},
		{"bucket.s3-eu-west-1.amazonaws.com", "eu-west-1", "s3"},
		{"s3.dualstack.eu-west-1.amazonaws.com", "eu-west-1", "s3"},
		{"bucket.s3.dualstack.eu-west-1.amazonaws.com", "eu-west-1", "s3"},
		{"bucket.s3-fips.dualstack.us-east-1.amazonaws.com", "us-east-1", "s3"},
		{"bucket.vpce-0a1b.s3.us-east-1.vpce.amazonaws.com", "us-east-1", "s3"},
		{"point-123.s3-accesspoint.eu-west-1.amazonaws.com", "eu-west-1", "s3"},
		{"123.s3-control.eu-west-1.amazonaws.com", "eu-west-1", "s3"},
		{"bucket.s3.cn-north-1.amazonaws.com.cn", "cn-north-1", "s3"},
		{"bucket.s3-accelerate.amazonaws.com", "", "s3"},
		{"bucket.s3express-usw2-az1.us-west-2.amazonaws.com", "us-west-2", "s3express"},

		{"iam.amazonaws.com", "us-east-1", "iam"},
		{"iam.us-gov.amazonaws.com", "us-gov-west-1", "iam"},
		{"sts.eu-central-1.amazonaws.com", "eu-central-1", "sts"},
		{"abc123.execute-api.eu-west-1.amazonaws.com", "eu-west-1", "execute-api"},
		{"runtime.sagemaker.eu-west-1.amazonaws.com", "eu-west-1", "sagemaker"},
		{"bedrock-runtime.us-east-1.amazonaws.com", "us-east-1", "bedrock"},
		{"bedrock-runtime-fips.us-east-1.amazonaws.com", "us-east-1", "bedrock"},
		{"email.eu-west-1.amazonaws.com", "eu-west-1", "ses"},
		{"abc.lambda-url.eu-west-1.on.aws", "eu-west-1", "lambda"},
		{"search-logs-abc.eu-west-1.es.amazonaws.com", "eu-west-1", "es"},
		{"abc.us-east-1.aoss.amazonaws.com", "us-east-1", "aoss"},
		{"abc-ats.iot.eu-west-1.amazonaws.com", "eu-west-1", "iotdata"},
		{"iot.eu-west-1.amazonaws.com", "eu-west-1", "iot"},
		{"kms.eusc-de-east-1.amazonaws.eu", "eusc-de-east-1", "kms"},

		{"madeup.amazonaws.com", "", "madeup"},
		{"amazonaws.com", "", ""},
		{"s3.eu-west-1.amazonaws.com.evil.test", "", ""},
		{"minio.internal:9000", "", ""},
		{"127.0.0.1", "", ""},
		{"", "", ""},
	} {
		if got, want := auth.ScopeOf(test.host), (auth.Scope{Region: test.region, Service: test.service}); got != want {
			t.Errorf("%s: %+v, want %+v", test.host, got, want)
		}
	}
}

func FuzzScope(f *testing.F) {
	f.Add("bucket.s3.eu-west-1.amazonaws.com")
	f.Add("eu-west-1.amazonaws.com")
	f.Add(".amazonaws.com")
	f.Fuzz(func(t *testing.T, host string) {
		scope := auth.ScopeOf(host)
		if strings.ContainsAny(scope.Region+scope.Service, "./:") {
			t.Errorf("%q: %+v", host, scope)
		}
	})
}
