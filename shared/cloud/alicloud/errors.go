package alicloud

import (
	"errors"
	"net"
	"net/http"
	"strings"

	"github.com/quiesce/quiesce/shared/fault"
)

// codes is what the services' error codes mean here. What is absent goes by
// its first part (InvalidDiskId of InvalidDiskId.NotFound), then by the HTTP
// status.
var codes = map[string]fault.Code{
	// Throttled: the call was not made.
	"Throttling":                  fault.Throttled, // and all of Throttling.*
	"ServiceUnavailable.Throttle": fault.Throttled,
	"ResourceThrottled":           fault.Throttled,
	"TooManyRequests":             fault.Throttled,
	"QpsLimitExceeded":            fault.Throttled,
	"DownloadTrafficRateLimit":    fault.Throttled,

	// Denied: credentials or permissions.
	"AccessDenied":                fault.AccessDenied,
	"Forbidden":                   fault.AccessDenied, // and all of Forbidden.*
	"NoPermission":                fault.AccessDenied,
	"Unauthorized":                fault.AccessDenied,
	"UnauthorizedOperation":       fault.AccessDenied,
	"InvalidAccessKeyId":          fault.AccessDenied, // and .NotFound, .Inactive
	"InvalidSecurityToken":        fault.AccessDenied, // and .Expired, .Malformed
	"SecurityTokenExpired":        fault.AccessDenied,
	"SignatureDoesNotMatch":       fault.AccessDenied,
	"IncompleteSignature":         fault.AccessDenied,
	"SignatureNonceUsed":          fault.Unavailable, // the next attempt has another one
	"InvalidTimeStamp":            fault.AccessDenied,
	"MissingSecurityToken":        fault.AccessDenied,
	"InstanceLockedForSecurity":   fault.AccessDenied,
	"InvalidAccountStatus":        fault.AccessDenied,
	"OperationDenied.NoSuchRight": fault.AccessDenied,

	// Instances.
	"InvalidInstanceId":                fault.InstanceNotFound, // and .NotFound
	"InvalidInstanceIds":               fault.InstanceNotFound,
	"InvalidInstance.NotFound":         fault.InstanceNotFound,
	"IncorrectInstanceStatus":          fault.InstanceNotRunning,
	"InvalidInstance.NotRunning":       fault.InstanceNotRunning,
	"InvalidInstance.ClientNotRunning": fault.AgentOffline,

	// Snapshots. The first two pass when the snapshots in progress are done.
	"IncorrectDiskStatus.CreatingSnapshot": fault.SnapshotTooSoon,
	"IdempotentProcessing":                 fault.SnapshotTooSoon,
	"IdempotentParameterMismatch":          fault.SnapshotRefused,
	"QuotaExceed":                          fault.SnapshotRefused,
	"QuotaExceed.Snapshot":                 fault.SnapshotRefused,
	"IncorrectDiskStatus":                  fault.SnapshotRefused,
	"IncorrectVolumeStatus":                fault.SnapshotRefused,
	"DiskCategory":                         fault.SnapshotRefused,
	"InvalidDiskCategory":                  fault.SnapshotRefused,
	"InvalidSnapshotId":                    fault.SnapshotFailed,  // .NotFound, .NotReady
	"SnapshotCreatedImage":                 fault.SnapshotRefused, // an image is made of it
	"SnapshotCreatedDisk":                  fault.SnapshotRefused,
	"SnapshotServiceUnavailable":           fault.Unavailable,

	// Commands.
	"InvalidInstance":         fault.CommandFailed, // .NotMatch: a text for another system
	"CmdContent":              fault.CommandFailed,
	"InvalidCommand":          fault.CommandFailed,
	"InvalidCommandContent":   fault.CommandFailed,
	"InvalidParameter":        fault.Internal, // a request that this package should not have made
	"MissingParameter":        fault.Internal,
	"NumberExceed.Parameters": fault.CommandFailed,

	// Buckets and buses that are not there: a deployment that is not whole.
	"NoSuchBucket":     fault.Internal,
	"NoSuchKey":        fault.Internal,
	"EventBusNotExist": fault.Internal,

	// The service's own trouble.
	"InternalError":         fault.Unavailable,
	"InternalServerError":   fault.Unavailable,
	"ServiceUnavailable":    fault.Unavailable,
	"ServiceInternalError":  fault.Unavailable,
	"UnknownError":          fault.Unavailable,
	"RequestTimeout":        fault.Unavailable,
	"LastTokenProcessing":   fault.Unavailable,
	"DependencyServiceBusy": fault.Unavailable,
}

// listed is what a refusal's code means, false for one that nobody knows. A
// body that is no JSON has no code.
func (r *refusal) listed() (fault.Code, bool) {
	for name := r.Code; name != ""; {
		if code, ok := codes[name]; ok {
			return code, true
		}
		dot := strings.LastIndexByte(name, '.')
		if dot < 0 {
			break
		}
		name = name[:dot]
	}
	return "", false
}

// fault is what a refusal means.
func (r *refusal) fault() fault.Code {
	if code, known := r.listed(); known {
		return code
	}
	switch {
	case r.Status == http.StatusTooManyRequests:
		return fault.Throttled
	case r.Status == http.StatusUnauthorized, r.Status == http.StatusForbidden:
		return fault.AccessDenied
	case r.Status >= 400 && r.Status < 500:
		return fault.Internal // a request that this package should not have made
	}
	return fault.Unavailable
}

// translate makes a fault of a call's error and says what was being done; nil
// stays nil.
func translate(err error, format string, args ...any) error {
	return fault.Wrap(codeOf(err), err, format, args...)
}

// refusedSet makes a fault of an error of the one call that must not be made
// twice blindly. Only an answer that says no, or a request that never left,
// proves that nothing was made.
func refusedSet(err error, sent bool, format string, args ...any) error {
	code, translated, status := fault.SnapshotOutcomeUnknown, codeOf(err), 0
	var r *refusal
	if errors.As(err, &r) {
		status = r.Status
	}
	switch {
	case !sent || unreachable(err):
		code = translated
	case status == 0, status == http.StatusRequestTimeout, status < 400:
	case translated == fault.Throttled:
		code = fault.SnapshotThrottled
	case status >= 500:
	case translated == fault.SnapshotTooSoon, translated == fault.AccessDenied:
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
