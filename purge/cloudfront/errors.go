package cloudfront

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/cachectl/cachectl/purge"
)

// faults are the API's error codes, and what they call for. Others go by
// their HTTP status. TooManyInvalidationsInProgress comes as a 400 that the SDK
// does not take for throttling.
var faults = map[string]struct {
	fault purge.Fault
	kind  error
	hint  string
}{
	"TooManyInvalidationsInProgress": {fault: purge.Busy},
	"BatchTooLarge":                  {fault: purge.TooLarge},
	"InvalidArgument":                {fault: purge.Rejected},
	"AccessDenied":                   {purge.Forbidden, purge.ErrDenied, "the policy of these credentials has to allow the action that the message names, for this distribution"},
	"NoSuchDistribution":             {purge.Forbidden, purge.ErrUnknown, "is it a distribution of this account? An alias or a domain name finds its ID"},
	"NoSuchInvalidation":             {kind: purge.ErrUnknown, hint: "an invalidation is known to its own distribution only, and not for ever"},
	"InvalidClientTokenId":           {purge.Forbidden, purge.ErrAuth, credentialsHint},
	"SignatureDoesNotMatch":          {purge.Forbidden, purge.ErrAuth, credentialsHint},
	"ExpiredToken":                   {purge.Forbidden, purge.ErrAuth, "the credentials have expired: log in again"},
	"ExpiredTokenException":          {purge.Forbidden, purge.ErrAuth, "the credentials have expired: log in again"},
	"UnrecognizedClientException":    {purge.Forbidden, purge.ErrAuth, credentialsHint},
	"MissingAuthenticationToken":     {purge.Forbidden, purge.ErrAuth, credentialsHint},
}

const credentialsHint = "credentials come from the environment (AWS_ACCESS_KEY_ID ...), a profile, a role, or the machine's own: as for the aws command"

// fault says what an error of the API calls for.
func (d *distribution) fault(err error) error {
	var response *smithyhttp.ResponseError
	var api smithy.APIError
	said := &purge.CallError{Err: fmt.Errorf("cloudfront %s: %w", d.id, short(err))}
	status := 0
	if errors.As(err, &response) && response.Response != nil {
		status = response.HTTPStatusCode()
		said.RetryAfter = retryAfter(response.Response.Header)
	}
	code := ""
	if errors.As(err, &api) {
		code = api.ErrorCode()
	}
	known := faults[code]
	_, throttled := retry.DefaultThrottleErrorCodes[code]
	said.Hint = known.hint
	if known.kind != nil {
		said.Err = fmt.Errorf("cloudfront %s: %w: %w", d.id, known.kind, short(err))
	}
	switch {
	case known.fault != "":
		said.Fault = known.fault
	case known.kind != nil:
	case throttled || status == http.StatusTooManyRequests:
		said.Fault = purge.Throttled
	case noCredentials(err):
		said.Fault, said.Hint = purge.Forbidden, credentialsHint
		said.Err = fmt.Errorf("cloudfront %s: %w: %w", d.id, purge.ErrAuth, short(err))
	case status >= 500, status == http.StatusRequestTimeout, status < 300 && !errors.Is(err, context.Canceled):
		said.Fault = purge.Unavailable // no answer, a server's trouble, or an answer that was cut off
	}
	return said
}

// noCredentials: the request was never sent, because nothing was found to sign
// it with. The SDK has no one type for that.
func noCredentials(err error) bool {
	var send *smithyhttp.RequestSendError
	var response *smithyhttp.ResponseError
	return !errors.As(err, &send) && !errors.As(err, &response) && strings.Contains(err.Error(), "credentials")
}

// short leaves out the SDK's own preamble about operations and retries.
func short(err error) error {
	var api smithy.APIError
	if errors.As(err, &api) {
		return fmt.Errorf("%s: %s", api.ErrorCode(), api.ErrorMessage())
	}
	var operation *smithy.OperationError
	if errors.As(err, &operation) {
		return operation.Err
	}
	return err
}

// passes tells whether a later try may do better.
func passes(err error) bool {
	var call *purge.CallError
	return errors.As(err, &call) && (call.Fault == purge.Throttled || call.Fault == purge.Unavailable || call.Fault == purge.Busy)
}

func retryAfter(h http.Header) time.Duration {
	v := h.Get("Retry-After")
	if seconds, err := strconv.ParseFloat(v, 64); err == nil && seconds > 0 {
		return time.Duration(seconds * float64(time.Second))
	}
	if at, err := http.ParseTime(v); err == nil {
		return max(0, time.Until(at))
	}
	return 0
}
