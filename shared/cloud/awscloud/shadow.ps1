# Makes persistent shadow copies of the filesystems on the named volumes, with
# the applications' writers, or deletes those of a run.
$folder = Join-Path $env:ProgramData 'Quiesce'
$system = 'S-1-5-18'
$administrators = 'S-1-5-32-544'

# Records are kept where nobody but the system may write: what they name is
# deleted.
function Open-Folder {
    if (-not (Test-Path -LiteralPath $folder)) {
        New-Item -ItemType Directory -Path $folder | Out-Null
        & icacls.exe $folder /inheritance:r /grant:r "*${system}:(OI)(CI)F" "*${administrators}:(OI)(CI)F" | Out-Null
        if ($LASTEXITCODE -ne 0) {
            Fail 224 "the access to $folder could not be set"
        }
    }
    $owner = (Get-Acl -LiteralPath $folder).GetOwner([System.Security.Principal.SecurityIdentifier]).Value
    if ($owner -ne $system -and $owner -ne $administrators) {
        Fail 224 "$folder belongs to $owner and not to the system: delete it"
    }
}

function Get-RecordPath([string]$run) {
    return Join-Path $folder "$run.json"
}

function Read-Record([string]$path) {
    if (Test-Path -LiteralPath $path) {
        return Get-Content -LiteralPath $path -Raw | ConvertFrom-Json
    }
    return $null
}

function Write-Record([string]$run, $record) {
    $record | ConvertTo-Json -Depth 6 -Compress | Set-Content -LiteralPath (Get-RecordPath $run) -Encoding UTF8
}

function Remove-ShadowCopies($copies) {
    $dropped = 0
    foreach ($copy in @($copies)) {
        if ($copy.id -notmatch '^[0-9A-Fa-f-]{36}$') {
            continue
        }
        foreach ($found in Get-ShadowCopy "ID='{$($copy.id)}'") {
            Remove-CimInstance -InputObject $found
            $dropped++
        }
    }
    return $dropped
}

# Clear-Others deletes what runs have left that died an hour ago or longer. A
# younger one is under way, and its copies are not to be disturbed.
function Clear-Others([string]$run) {
    foreach ($file in @(Get-ChildItem -LiteralPath $folder -Filter '*.json')) {
        if ($file.BaseName -eq $run) {
            continue
        }
        $record = Read-Record $file.FullName
        if ($file.LastWriteTimeUtc -gt [System.DateTime]::UtcNow.AddHours(-1)) {
            if ($record.state -eq 'made') {
                Fail 228 "the run $($file.BaseName) has shadow copies here"
            }
            continue
        }
        if ($record.state -eq 'made') {
            Remove-ShadowCopies $record.shadows.copies | Out-Null
        }
        Remove-Item -LiteralPath $file.FullName -Force
    }
}

# Get-Mounts are the filesystems on a disk that programs can reach.
function Get-Mounts([string]$volume, $disk) {
    $mounts = @()
    foreach ($partition in @(Get-Partition -DiskNumber $disk.Number -ErrorAction SilentlyContinue)) {
        $paths = @($partition.AccessPaths | Where-Object { $_ })
        $path = $paths | Where-Object { $_ -notlike '\\?\*' } | Select-Object -First 1
        $name = $paths | Where-Object { $_ -like '\\?\Volume*' } | Select-Object -First 1
        if (-not $path) {
            continue
        }
        $kind = (Get-Volume -Partition $partition).FileSystem
        if ($kind -ne 'NTFS' -and $kind -ne 'ReFS') {
            Fail 223 "$path on $volume is ${kind}: Windows makes shadow copies of NTFS and ReFS"
        }
        if ($path -match '[%"]') {
            Fail 223 "$path on $volume has a name that means something to diskshadow"
        }
        $mounts += @{ volume = $volume; path = $path; name = $name }
    }
    if ($mounts.Count -eq 0) {
        Fail 223 "$volume has no filesystem with a drive letter or a folder"
    }
    return $mounts
}

# Get-FailedWriters names the writers whose state is one of a failure. States are
# numbers in brackets in every language: 1 stable, 5 waiting for completion, from
# 6 on failed.
function Get-FailedWriters {
    $failed = @()
    $name = ''
    foreach ($line in @(& vssadmin.exe list writers)) {
        if ($line -match "'([^']+)'") {
            $name = $Matches[1]
        } elseif ($line -match '\[(\d+)\]' -and [int]$Matches[1] -ge 6) {
            $failed += "$name is in the state $($Matches[1])"
        }
    }
    return $failed
}

function New-ShadowCopies($request) {
    $disks = @()
    $mounts = @()
    foreach ($volume in @($request.volumes)) {
        $disk = Find-Disk $volume
        $signature = ''
        if ($disk.PartitionStyle -eq 'MBR') {
            $signature = '{0:X8}' -f $disk.Signature
        } elseif ($disk.PartitionStyle -eq 'GPT') {
            $signature = $disk.Guid.Trim('{}')
        } else {
            Fail 223 "$volume has no partitions"
        }
        $disks += @{ volumeId = $volume; style = [string]$disk.PartitionStyle; signature = $signature }
        $mounts += @(Get-Mounts $volume $disk)
    }
    $before = @(Get-ShadowCopy | ForEach-Object { $_.ID })
    $lines = @('set context persistent', 'begin backup')
    foreach ($mount in $mounts) {
        $lines += 'add volume "{0}"' -f $mount.path.TrimEnd('\')
    }
    $lines += @('create', 'end backup')
    $ended = Invoke-Diskshadow $lines
    # With the writers, and for nobody's scheduled copies: ours alone look so.
    $made = @(Get-ShadowCopy | Where-Object { $before -notcontains $_.ID -and $_.Persistent -and -not $_.ClientAccessible -and -not $_.NoWriters })
    $copies = @()
    $sets = @()
    foreach ($mount in $mounts) {
        foreach ($copy in @($made | Where-Object { $_.VolumeName -eq $mount.name })) {
            $copies += @{ id = $copy.ID.Trim('{}'); volumeId = $mount.volume; path = $mount.path }
            $sets += $copy.SetID.Trim('{}')
        }
    }
    $failed = @(Get-FailedWriters)
    $set = @($sets | Select-Object -Unique)
    if ($ended.exit -eq 0 -and $copies.Count -eq $mounts.Count -and $set.Count -eq 1 -and $failed.Count -eq 0) {
        return @{ setId = $set[0]; copies = $copies; disks = $disks }
    }
    Remove-ShadowCopies $copies | Out-Null
    if ($failed.Count -gt 0) {
        Fail 225 "a writer failed: $($failed -join '; ')"
    }
    Fail 224 "diskshadow ended with $($ended.exit) and $($copies.Count) of $($mounts.Count) copies: $($ended.said)"
}

$reply = @{ version = 1; verb = ''; runId = ''; shadows = $null; dropped = 0; error = $null }
Complete-Request $reply {
    $request = Read-Request '{{ Request }}'
    $reply.verb = [string]$request.verb
    $reply.runId = $request.runId
    Open-Folder
    $record = Read-Record (Get-RecordPath $request.runId)
    if ($request.verb -eq 'make') {
        if ($record -and $record.state -eq 'dropped') {
            Fail 229 'the run has deleted its copies: the request came too late'
        }
        if ($record -and $record.state -eq 'made') {
            $reply.shadows = $record.shadows
            return
        }
        Clear-Others $request.runId
        $reply.shadows = New-ShadowCopies $request
        Write-Record $request.runId @{ state = 'made'; shadows = $reply.shadows }
    } elseif ($request.verb -eq 'drop') {
        if ($record -and $record.state -eq 'made') {
            $reply.dropped = Remove-ShadowCopies $record.shadows.copies
        }
        Write-Record $request.runId @{ state = 'dropped' }
    } else {
        Fail 221 "the verb $($request.verb) is unknown"
    }
}
