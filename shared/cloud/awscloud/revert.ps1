# Goes back to the shadow copies of one set on restored disks, and gives each
# disk the signature that it had when the set was taken.
function Get-Signature($disk) {
    if ($disk.PartitionStyle -eq 'MBR') {
        return '{0:X8}' -f $disk.Signature
    }
    return ([string]$disk.Guid).Trim('{}')
}

# Open-Disk makes a disk ready that Windows keeps offline, which it does with a
# copy of one that is there.
function Open-Disk($disk) {
    if ($disk.IsOffline) {
        Set-Disk -Number $disk.Number -IsOffline $false
    }
    if ($disk.IsReadOnly) {
        Set-Disk -Number $disk.Number -IsReadOnly $false
    }
    return Get-Disk -Number $disk.Number
}

function Get-VolumeNames($disk) {
    $names = @()
    foreach ($partition in @(Get-Partition -DiskNumber $disk.Number -ErrorAction SilentlyContinue)) {
        $names += @($partition.AccessPaths | Where-Object { $_ -like '\\?\Volume*' })
    }
    return $names
}

function Restore-Signature($disk, $wanted) {
    if ((Get-Signature $disk) -eq $wanted.signature) {
        return
    }
    $other = @(Get-Disk | Where-Object { $_.Number -ne $disk.Number -and -not $_.IsOffline -and (Get-Signature $_) -eq $wanted.signature })
    if ($other.Count -gt 0) {
        Fail 227 "the disk $($other[0].Number) has the signature of $($wanted.volumeId): detach what the restored disk takes the place of"
    }
    try {
        if ($wanted.style -eq 'MBR') {
            Set-Disk -Number $disk.Number -Signature ([System.Convert]::ToUInt32($wanted.signature, 16))
        } else {
            Set-Disk -Number $disk.Number -Guid "{$($wanted.signature)}"
        }
    } catch {
        Fail 227 "$($wanted.volumeId) could not be given its signature: $($_.Exception.Message)"
    }
}

$reply = @{ version = 1; verb = 'revert'; runId = ''; reverted = @(); error = $null }
Complete-Request $reply {
    $request = Read-Request '{{ Request }}'
    $reply.runId = $request.runId
    if ($request.setId -notmatch '^[0-9A-Fa-f-]{36}$') {
        Fail 221 'the request names no set of shadow copies'
    }
    foreach ($wanted in @($request.disks)) {
        if ($wanted.signature -notmatch '^[0-9A-Fa-f]{8}$|^[0-9A-Fa-f-]{36}$' -or @('MBR', 'GPT') -notcontains $wanted.style) {
            Fail 221 "the request has no signature for $($wanted.volumeId)"
        }
        $found = Find-Disk $wanted.volumeId
        if ($found.IsBoot -or $found.IsSystem) {
            Fail 226 "$($wanted.volumeId) is the disk that Windows runs from, and there is no going back on it"
        }
    }
    foreach ($wanted in @($request.disks)) {
        try {
            $disk = Open-Disk (Find-Disk $wanted.volumeId)
        } catch {
            Fail 227 "$($wanted.volumeId) could not be made ready: $($_.Exception.Message)"
        }
        $names = @(Get-VolumeNames $disk)
        $copies = @(Get-ShadowCopy "SetID='{$($request.setId)}'" | Where-Object { $names -contains $_.VolumeName })
        if ($copies.Count -eq 0) {
            Fail 226 "$($wanted.volumeId) holds no shadow copy of the set $($request.setId)"
        }
        foreach ($copy in $copies) {
            $ended = Invoke-Diskshadow @("revert $($copy.ID)")
            if ($ended.exit -ne 0) {
                Fail 226 "diskshadow did not go back to $($copy.ID) on $($wanted.volumeId): $($ended.said)"
            }
            $reply.reverted += $copy.ID.Trim('{}')
        }
        Restore-Signature (Get-Disk -Number $disk.Number) $wanted
    }
}
