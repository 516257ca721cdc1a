package wire

import "net/http"

// Protocol is how a family of services says no: its rendering and its codes
// for what every service refuses.
type Protocol struct {
	Refuse    func(e *Error, id string) Reply
	Throttled *Error
	Denied    *Error
	Down      *Error // an internal failure
	Signature map[Problem]*Error
}

// Query is the protocol of EC2.
var Query = Protocol{
	Refuse:    RefuseQuery,
	Throttled: Errorf(http.StatusServiceUnavailable, "RequestLimitExceeded", "Request limit exceeded."),
	Denied:    Errorf(http.StatusForbidden, "UnauthorizedOperation", "You are not authorized to perform this operation."),
	Down:      Errorf(http.StatusInternalServerError, "InternalError", "An internal error has occurred"),
	Signature: map[Problem]*Error{
		Missing:    Bad("MissingAuthenticationToken", "Request is missing Authentication Token"),
		Incomplete: Bad("IncompleteSignature", "Request signature does not conform to AWS standards."),
		BadScope:   Errorf(http.StatusForbidden, "SignatureDoesNotMatch", "Credential should be scoped to correct service."),
		UnknownKey: Errorf(http.StatusUnauthorized, "AuthFailure", "AWS was not able to validate the provided access credentials"),
		Mismatch:   Errorf(http.StatusUnauthorized, "AuthFailure", "AWS was not able to validate the provided access credentials"),
		Expired:    Bad("RequestExpired", "Request has expired."),
	},
}

// AWSJSON is the protocol of SSM, EventBridge and Step Functions.
var AWSJSON = Protocol{
	Refuse:    RefuseJSON,
	Throttled: Bad("ThrottlingException", "Rate exceeded"),
	Denied:    Bad("AccessDeniedException", "User is not authorized to perform this operation"),
	Down:      Errorf(http.StatusInternalServerError, "InternalServerError", "An internal error has occurred"),
	Signature: map[Problem]*Error{
		Missing:    Bad("MissingAuthenticationTokenException", "Missing Authentication Token"),
		Incomplete: Bad("IncompleteSignatureException", "Authorization header is incomplete."),
		BadScope:   Errorf(http.StatusForbidden, "InvalidSignatureException", "Credential should be scoped to correct service."),
		UnknownKey: Bad("UnrecognizedClientException", "The security token included in the request is invalid."),
		Mismatch:   Bad("InvalidSignatureException", "The request signature we calculated does not match the signature you provided."),
		Expired:    Bad("InvalidSignatureException", "Signature expired."),
	},
}

// S3 is the protocol of S3.
var S3 = Protocol{
	Refuse:    RefuseS3,
	Throttled: Errorf(http.StatusServiceUnavailable, "SlowDown", "Please reduce your request rate."),
	Denied:    Errorf(http.StatusForbidden, "AccessDenied", "Access Denied"),
	Down:      Errorf(http.StatusInternalServerError, "InternalError", "We encountered an internal error. Please try again."),
	Signature: map[Problem]*Error{
		Missing:    Errorf(http.StatusForbidden, "AccessDenied", "Access Denied"),
		Incomplete: Bad("AuthorizationHeaderMalformed", "The authorization header is malformed."),
		BadScope:   Bad("AuthorizationHeaderMalformed", "The authorization header is malformed; incorrect service."),
		UnknownKey: Errorf(http.StatusForbidden, "InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records."),
		Mismatch:   Errorf(http.StatusForbidden, "SignatureDoesNotMatch", "The request signature we calculated does not match the signature you provided."),
		Expired:    Errorf(http.StatusForbidden, "AccessDenied", "Request has expired"),
	},
}
