# What both documents begin with. Nothing here writes to the output but the one
# line of JSON at the end, which is the answer.
Set-StrictMode -Version 2.0
$ErrorActionPreference = 'Stop'
$ProgressPreference = 'SilentlyContinue'

function Fail([int]$exit, [string]$message) {
    $failure = New-Object System.InvalidOperationException $message
    $failure.Data['exit'] = $exit
    throw $failure
}

# Read-Request is the only place where a parameter stands in the text. Its
# pattern allows base64 alone, which holds no quote.
function Read-Request([string]$encoded) {
    try {
        $request = [System.Text.Encoding]::UTF8.GetString([System.Convert]::FromBase64String($encoded)) | ConvertFrom-Json
    } catch {
        Fail 221 "the request cannot be read: $($_.Exception.Message)"
    }
    if ($request.version -ne 1 -or $request.runId -notmatch '^[A-Za-z0-9_-]{1,80}$') {
        Fail 221 'the request is of another version, or names no run'
    }
    return $request
}

# Find-Disk goes by the serial number, which is the volume's id: vol0abc for a
# disk on Xen, vol0abc_00000001. for one on NVMe.
function Find-Disk([string]$volume) {
    if ($volume -notmatch '^vol-[0-9a-f]{8,17}$') {
        Fail 221 "$volume is no volume's id"
    }
    $serial = $volume -replace '-', ''
    $found = @(Get-Disk | Where-Object { $_.SerialNumber -and (($_.SerialNumber.Trim() -replace '[._ ].*$', '') -eq $serial) })
    if ($found.Count -ne 1) {
        Fail 223 "Windows shows $($found.Count) disks for $volume; dynamic disks and storage pools are none that can be told apart"
    }
    return $found[0]
}

function Invoke-Diskshadow([string[]]$lines) {
    if (-not (Get-Command diskshadow.exe -ErrorAction SilentlyContinue)) {
        Fail 222 'there is no diskshadow.exe: it is part of Windows Server alone'
    }
    $script = [System.IO.Path]::GetTempFileName()
    $log = [System.IO.Path]::GetTempFileName()
    try {
        [System.IO.File]::WriteAllLines($script, $lines)
        & diskshadow.exe /s $script /l $log | Out-Null
        return @{ exit = $LASTEXITCODE; said = (@(Get-Content -LiteralPath $log -Tail 5) -join ' ').Trim() }
    } finally {
        Remove-Item -LiteralPath $script, $log -Force -ErrorAction SilentlyContinue
    }
}

function Get-ShadowCopy([string]$filter) {
    if ($filter) {
        return @(Get-CimInstance -ClassName Win32_ShadowCopy -Filter $filter)
    }
    return @(Get-CimInstance -ClassName Win32_ShadowCopy)
}

# One request at a time; a holder that died has left the mutex to the next.
function Enter-Alone {
    $mutex = New-Object System.Threading.Mutex $false, 'Global\QuiesceShadow'
    try {
        $mine = $mutex.WaitOne(300000)
    } catch [System.Threading.AbandonedMutexException] {
        $mine = $true
    }
    if (-not $mine) {
        Fail 228 'another request has not ended for five minutes'
    }
    return $mutex
}

# Complete-Request runs the work and writes the answer, whatever became of it.
function Complete-Request([hashtable]$reply, [scriptblock]$work) {
    $exit = 0
    try {
        $mutex = Enter-Alone
        try {
            & $work
        } finally {
            $mutex.ReleaseMutex()
        }
    } catch {
        $exit = 224
        if ($_.Exception.Data.Contains('exit')) {
            $exit = [int]$_.Exception.Data['exit']
        }
        $reply['error'] = @{ exit = $exit; message = $_.Exception.Message }
    }
    [System.Console]::Out.WriteLine(($reply | ConvertTo-Json -Depth 6 -Compress))
    exit $exit
}
