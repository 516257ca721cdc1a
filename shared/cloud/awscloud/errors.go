package awscloud

import (
	"errors"
	"net"
	"net/http"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/quiesce/quiesce/shared/fault"
)

// codes is what the services' error codes mean here. What is absent goes by
// the HTTP status.
var codes = map[string]fault.Code{
	// Throttled: the call was not made.
	"RequestLimitExceeded":      fault.Throttled,
	"EC2ThrottledException":     fault.Throttled,
	"Throttling":                fault.Throttled,
	"ThrottlingException":       fault.Throttled,
	"ThrottledException":        fault.Throttled,
	"TooManyRequestsException":  fault.Throttled,
	"RequestThrottled":          fault.Throttled,
	"RequestThrottledException": fault.Throttled,
	"BandwidthLimitExceeded":    fault.Throttled,
	"SlowDown":                  fault.Throttled,
	"TooManyUpdates":            fault.Throttled,
	"ConcurrentTagAccess":       fault.Throttled,

	// Denied: credentials or permissions.
	"UnauthorizedOperation":               fault.AccessDenied,
	"AccessDenied":                        fault.AccessDenied,
	"AccessDeniedException":               fault.AccessDenied,
	"AuthFailure":                         fault.AccessDenied,
	"Blocked":                             fault.AccessDenied,
	"ExpiredToken":                        fault.AccessDenied,
	"ExpiredTokenException":               fault.AccessDenied,
	"RequestExpired":                      fault.AccessDenied,
	"IncompleteSignature":                 fault.AccessDenied,
	"IncompleteSignatureException":        fault.AccessDenied,
	"InvalidClientTokenId":                fault.AccessDenied,
	"InvalidSignatureException":           fault.AccessDenied,
	"MissingAuthenticationToken":          fault.AccessDenied,
	"OptInRequired":                       fault.AccessDenied,
	"PendingVerification":                 fault.AccessDenied,
	"SignatureDoesNotMatch":               fault.AccessDenied,
	"UnrecognizedClientException":         fault.AccessDenied,
	"NotAuthorizedForSourceException":     fault.AccessDenied,
	"NotAuthorizedForDetailTypeException": fault.AccessDenied,

	// Instances.
	"InvalidInstanceID.NotFound":  fault.InstanceNotFound,
	"InvalidInstanceID.Malformed": fault.InstanceNotFound,
	"IncorrectInstanceState":      fault.InstanceNotRunning,

	// Snapshots. The first three pass when pending snapshots are done.
	"SnapshotCreationPerVolumeRateExceeded": fault.SnapshotTooSoon,
	"ConcurrentSnapshotLimitExceeded":       fault.SnapshotTooSoon,
	"PendingSnapshotLimitExceeded":          fault.SnapshotTooSoon,
	"ResourceLimitExceeded":                 fault.CopyLimitReached, // by CopySnapshot
	"SnapshotLimitExceeded":                 fault.SnapshotRefused,
	"IncorrectState":                        fault.SnapshotRefused,
	"InvalidSnapshot.NotFound":              fault.SnapshotFailed,
	"InvalidSnapshotID.Malformed":           fault.SnapshotFailed,
	"InvalidSnapshot.InUse":                 fault.SnapshotRefused, // an image is made of it
	"OperationNotPermitted":                 fault.SnapshotRefused, // it is locked

	// Commands. The agent is not registered, or its instance not running.
	"InvalidInstanceId":         fault.AgentOffline,
	"InvalidDocument":           fault.CommandFailed,
	"InvalidDocumentContent":    fault.CommandFailed,
	"InvalidDocumentVersion":    fault.CommandFailed,
	"InvalidParameters":         fault.CommandFailed,
	"MaxDocumentSizeExceeded":   fault.CommandFailed,
	"UnsupportedPlatformType":   fault.CommandFailed,
	"ResourceNotFoundException": fault.Internal, // the bus is not there: a deployment that is not whole

	// The service's own trouble.
	"InternalError":               fault.Unavailable,
	"InternalFailure":             fault.Unavailable,
	"InternalServerError":         fault.Unavailable,
	"InternalException":           fault.Unavailable,
	"ServiceUnavailable":          fault.Unavailable,
	"ServiceUnavailableException": fault.Unavailable,
	"Unavailable":                 fault.Unavailable,
	"RequestTimeout":              fault.Unavailable,
	"RequestTimeoutException":     fault.Unavailable,
}

// translate makes a fault of an SDK's error and says what was being done.
func translate(err error, format string, args ...any) error {
	return fault.Wrap(codeOf(err), err, format, args...)
}

func codeOf(err error) fault.Code {
	var api smithy.APIError
	if errors.As(err, &api) {
		if code, ok := codes[api.ErrorCode()]; ok {
			return code
		}
	}
	switch status := statusOf(err); {
	case status == http.StatusTooManyRequests:
		return fault.Throttled
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return fault.AccessDenied
	case status >= 400 && status < 500:
		return fault.Internal // a request that this package should not have made
	}
	var invalid smithy.InvalidParamsError
	if errors.As(err, &invalid) {
		return fault.Internal // refused before it was sent
	}
	return fault.Unavailable // no answer, or none that could be read
}

// statusOf is the HTTP status of the answer, 0 if there was none.
func statusOf(err error) int {
	var response *smithyhttp.ResponseError
	if errors.As(err, &response) {
		return response.HTTPStatusCode()
	}
	return 0
}

// hasCode reports whether the service answered with one of its error codes.
func hasCode(err error, code string) bool {
	var api smithy.APIError
	return errors.As(err, &api) && api.ErrorCode() == code
}

// refusedSet makes a fault of an error of the one call that must not be made
// twice blindly. Only an answer that says no, or a request that never left,
// proves that nothing was made.
func refusedSet(err error, sent bool, format string, args ...any) error {
	code := fault.SnapshotOutcomeUnknown
	translated, status := codeOf(err), statusOf(err)
	switch {
	case !sent || unreachable(err):
		code = translated
	case translated == fault.Throttled:
		code = fault.SnapshotThrottled // by EC2 with status 503, but never after it acted
	case status == http.StatusRequestTimeout || status < 400 || status >= 500:
	case translated == fault.SnapshotTooSoon, translated == fault.CopyLimitReached, translated == fault.AccessDenied:
		code = translated
	default:
		code = fault.SnapshotRefused
	}
	return fault.Wrap(code, err, format, args...)
}

// unreachable reports that no connection was made, so that nothing was sent.
func unreachable(err error) bool {
	var dial *net.OpError
	var name *net.DNSError
	return errors.As(err, &dial) && dial.Op == "dial" || errors.As(err, &name)
}
