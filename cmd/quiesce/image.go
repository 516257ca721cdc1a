package main

import (
	"github.com/quiesce/quiesce/shared/restore"
)

// imageFlags say what becomes of a set with --mode image.
type imageFlags struct {
	ImageName    string `group:"image" help:"Name of the image; by default quiesce- and the restore's id."`
	Root         string `group:"image" placeholder:"VOLUME" help:"If the set's instance is gone: the volume that was its boot disk."`
	RootDevice   string `group:"image" placeholder:"NAME" help:"And under which name; on Alibaba Cloud that is known."`
	Architecture string `group:"image" help:"And its architecture: x86_64 or arm64."`
	BootMode     string `group:"image" help:"And how it boots: legacy-bios, uefi or uefi-preferred."`

	Launch        string            `group:"image" placeholder:"TYPE" help:"Launch an instance of the image, of this type."`
	Subnet        string            `group:"image" placeholder:"ID" help:"Its subnet, or its vSwitch on Alibaba Cloud."`
	SecurityGroup []string          `group:"image" placeholder:"ID" help:"Its security groups; repeatable. Alibaba Cloud wants at least one."`
	Profile       string            `group:"image" placeholder:"NAME" help:"Its instance profile, or its RAM role on Alibaba Cloud."`
	KeyName       string            `group:"image" placeholder:"NAME" help:"Its key pair."`
	Tag           map[string]string `group:"image" placeholder:"KEY=VALUE" help:"A tag that it gets; repeatable. Of the set's own instance it gets none."`
}

// image is what they say of the image, nil for nothing.
func (f imageFlags) image() *restore.Image {
	i := restore.Image{Name: f.ImageName, Root: f.Root, RootDevice: f.RootDevice, Architecture: f.Architecture, BootMode: f.BootMode}
	if i == (restore.Image{}) {
		return nil
	}
	return &i
}

// launch is what they say of an instance, nil if none is wanted.
func (f imageFlags) launch() *restore.Launch {
	if f.Launch == "" && f.Subnet == "" && len(f.SecurityGroup) == 0 && f.Profile == "" && f.KeyName == "" && len(f.Tag) == 0 {
		return nil
	}
	return &restore.Launch{Type: f.Launch, Subnet: f.Subnet, Groups: f.SecurityGroup, Profile: f.Profile, Key: f.KeyName, Tags: f.Tag}
}
