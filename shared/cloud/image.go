package cloud

import (
	"context"
	"fmt"

	"github.com/quiesce/quiesce/shared/fault"
)

// Imager makes machine images of sets, and instances of images. Whatever changes
// something is asked for again freely: a repetition does nothing more. Codes of all:
// AccessDenied, Throttled, Unavailable, RestoreRefused.
type Imager interface {
	// Bare is what is known of every machine, for one that nobody can be asked
	// about any more: the names and the kind of its disks, and what its image
	// says besides what a person must say.
	Bare() (Host, Model)

	// Model tells what an image must say for what ran on the instance to boot
	// from it. Codes: InstanceNotFound.
	Model(ctx context.Context, instance string) (Model, error)

	// MayRegister tells, without making it, whether the image could be made.
	MayRegister(ctx context.Context, spec ImageSpec) error

	// Register begins to make an image and returns its id, the same for the
	// same name and tags. Codes: SetNotRestorable.
	Register(ctx context.Context, spec ImageSpec) (id string, err error)

	// Images returns the images that carry the tag. What was made a moment ago
	// may be missing for some seconds.
	Images(ctx context.Context, key, value string) ([]Image, error)

	// Deregister takes an image away, and leaves its snapshots; one that is
	// gone is no error. Codes: VolumeBusy while it is being made.
	Deregister(ctx context.Context, id string) error

	// Fits tells whether an instance could be launched so, as far as that can
	// be seen without an image, and in which zone. Codes: InvalidInput, with
	// the field of the request.
	Fits(ctx context.Context, spec LaunchSpec, of Model) (zone string, err error)

	// Launch begins to start one instance of an image and returns its id, the
	// same for the same Token.
	Launch(ctx context.Context, spec LaunchSpec) (id string, err error)

	// Launched returns the instances that carry the tag, but for those that are
	// terminated.
	Launched(ctx context.Context, key, value string) ([]Host, error)

	// Terminate begins to end an instance; one that is gone is no error.
	// Codes: VolumeBusy while it is between two states.
	Terminate(ctx context.Context, id string) error

	// Unmark takes tags off images and instances.
	Unmark(ctx context.Context, ids []string, keys []string) error
}

// Model is what an image says of the machine that it is for; architecture and
// boot mode in the words of a request, the rest in the provider's. Empty: the
// provider's default.
type Model struct {
	Architecture   string `json:"architecture"`
	BootMode       string `json:"bootMode,omitempty"`
	Virtualization string `json:"virtualization,omitempty"`
	Kernel         string `json:"kernel,omitempty"`
	Ramdisk        string `json:"ramdisk,omitempty"`
	Sriov          string `json:"sriov,omitempty"`
	TPM            string `json:"tpm,omitempty"`
	IMDS           string `json:"imds,omitempty"`
	ENA            bool   `json:"ena,omitempty"`
	Root           string `json:"root"`               // the boot disk's device name
	Platform       string `json:"platform,omitempty"` // what is billed; empty: not known
}

// ImageSpec asks for one image.
type ImageSpec struct {
	Name        string
	Description string
	Model       Model
	Disks       []ImageDisk
	Tags        map[string]string
}

// ImageDisk is a disk that every instance of the image gets.
type ImageDisk struct {
	Device     string
	Snapshot   string
	Kind       string
	SizeGiB    int32
	IOPS       int32
	Throughput int32
	Ends       bool // with the instance
}

// Image is an image as it is.
type Image struct {
	ID       string
	State    ImageState
	Reason   string // of one that has failed
	Platform string
	Tags     map[string]string
}

// ImageState is how far an image is.
type ImageState string

// States of an image.
const (
	ImageMaking ImageState = "making"
	ImageThere  ImageState = "there"
	ImageBroken ImageState = "broken"
)

// LaunchSpec asks for one instance.
type LaunchSpec struct {
	Image   string
	Type    string
	Subnet  string
	Groups  []string
	Profile string      // the instance's own rights, by name; empty: none
	Key     string      // by which people log in; empty: none
	Token   string      // names the request: at most 64 characters
	Root    string      // the boot disk's device name
	Disks   []ImageDisk // as the image has them: not every provider's image says all of it
	Tags    map[string]string
}

// Blame says of a launch that its field is wrong, unless a look at that failed by
// the service or for want of a right.
func Blame(err error, code fault.Code, field, format string, args ...any) error {
	switch {
	case err == nil:
		return fault.Input(field, format, args...)
	case code == fault.AccessDenied, code == fault.Throttled, code == fault.Unavailable:
		return &fault.Error{Code: code, Field: field, Message: "could not be looked at", Cause: err}
	}
	return &fault.Error{Code: fault.InvalidInput, Field: field, Message: fmt.Sprintf(format, args...), Cause: err}
}
