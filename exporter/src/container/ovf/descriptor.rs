//! The descriptor: which machine the disk is for.

use crate::architecture::Architecture;

/// The machine that a disk is for, as an import makes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appliance {
    /// Its name.
    pub name: String,
    /// The version of the system on the disk, if that is said.
    pub version: Option<String>,
    /// Its instruction set.
    pub architecture: Architecture,
    /// What starts it.
    pub firmware: OvfFirmware,
    /// Number of processors.
    pub cpus: u16,
    /// Memory in MiB.
    pub memory_mib: u32,
    /// VMware's hardware version: 15 needs vSphere 6.7 U2, Workstation 15 or Fusion 11.
    pub hardware_version: u16,
    /// The network its card is in; the import asks for another if there is none of that name.
    pub network: String,
    /// VMware's name of the guest system (`VirtualMachineGuestOsIdentifier`).
    pub os_type: String,
}

impl Default for Appliance {
    fn default() -> Self {
        Self {
            name: "disk".into(),
            version: None,
            architecture: Architecture::X86_64,
            firmware: OvfFirmware::Efi,
            cpus: 2,
            memory_mib: 2048,
            hardware_version: 15,
            network: "VM Network".into(),
            os_type: "other4xLinux64Guest".into(),
        }
    }
}

/// What starts a virtual machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OvfFirmware {
    /// The PC's old one.
    Bios,
    /// UEFI.
    Efi,
    /// UEFI that starts nothing but what is signed.
    EfiSecureBoot,
}

impl OvfFirmware {
    /// The value of VMware's key `firmware`.
    fn name(self) -> &'static str {
        match self {
            Self::Bios => "bios",
            Self::Efi | Self::EfiSecureBoot => "efi",
        }
    }
}

/// What the descriptor says of the disk.
pub(super) struct DiskFile<'a> {
    pub(super) name: &'a str,
    /// Bytes of the file.
    pub(super) size: u64,
    /// Bytes of the disk in it.
    pub(super) capacity: u64,
    /// Bytes of the disk that are not zero, by the grain.
    pub(super) populated: u64,
}

/// `CIM_OperatingSystem.OSType`: Linux 64-Bit.
const LINUX_64: u16 = 101;

impl Appliance {
    /// The name as that of a file in the archive: portable, and short enough for a header.
    pub(super) fn file_name(&self) -> String {
        let portable = |c: char| if c.is_ascii_alphanumeric() || "._-".contains(c) { c } else { '-' };
        let name: String = self.name.chars().map(portable).take(80).collect();
        match name.trim_start_matches(['.', '-']) {
            "" => "disk".to_owned(),
            name => name.to_owned(),
        }
    }

    /// The descriptor: DSP0243, with VMware's `vmw:Config` as its own exports and open-vmdk have it. The
    /// elements of an `Item` come in the order of the alphabet, which the schema wants.
    pub(super) fn descriptor(&self, disk: &DiskFile<'_>) -> String {
        let DiskFile { name: file, size, capacity, populated } = disk;
        let Self { cpus, memory_mib, hardware_version, .. } = self;
        let [name, network, os_type] = [&self.name, &self.network, &self.os_type].map(|text| escape(text));
        let firmware = self.firmware.name();
        let secure_boot = self.firmware == OvfFirmware::EfiSecureBoot;
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<Envelope xmlns="http://schemas.dmtf.org/ovf/envelope/1" xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1" xmlns:rasd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_ResourceAllocationSettingData" xmlns:vmw="http://www.vmware.com/schema/ovf" xmlns:vssd="http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_VirtualSystemSettingData">
  <References>
    <File ovf:href="{file}" ovf:id="file1" ovf:size="{size}"/>
  </References>
  <DiskSection>
    <Info>Virtual disks</Info>
    <Disk ovf:capacity="{capacity}" ovf:capacityAllocationUnits="byte" ovf:diskId="vmdisk1" ovf:fileRef="file1" ovf:format="http://www.vmware.com/interfaces/specifications/vmdk.html#streamOptimized" ovf:populatedSize="{populated}"/>
  </DiskSection>
  <NetworkSection>
    <Info>Networks</Info>
    <Network ovf:name="{network}">
      <Description>The network of the machine</Description>
    </Network>
  </NetworkSection>
  <VirtualSystem ovf:id="{name}">
    <Info>A virtual machine</Info>
    <Name>{name}</Name>
    <OperatingSystemSection ovf:id="{LINUX_64}" vmw:osType="{os_type}">
      <Info>The guest operating system</Info>
    </OperatingSystemSection>
    <VirtualHardwareSection>
      <Info>Virtual hardware</Info>
      <System>
        <vssd:ElementName>Virtual Hardware Family</vssd:ElementName>
        <vssd:InstanceID>0</vssd:InstanceID>
        <vssd:VirtualSystemIdentifier>{name}</vssd:VirtualSystemIdentifier>
        <vssd:VirtualSystemType>vmx-{hardware_version:02}</vssd:VirtualSystemType>
      </System>
      <Item>
        <rasd:AllocationUnits>hertz * 10^6</rasd:AllocationUnits>
        <rasd:Description>Number of virtual CPUs</rasd:Description>
        <rasd:ElementName>{cpus} virtual CPU(s)</rasd:ElementName>
        <rasd:InstanceID>1</rasd:InstanceID>
        <rasd:ResourceType>3</rasd:ResourceType>
        <rasd:VirtualQuantity>{cpus}</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:AllocationUnits>byte * 2^20</rasd:AllocationUnits>
        <rasd:Description>Memory size</rasd:Description>
        <rasd:ElementName>{memory_mib}MB of memory</rasd:ElementName>
        <rasd:InstanceID>2</rasd:InstanceID>
        <rasd:ResourceType>4</rasd:ResourceType>
        <rasd:VirtualQuantity>{memory_mib}</rasd:VirtualQuantity>
      </Item>
      <Item>
        <rasd:Address>0</rasd:Address>
        <rasd:Description>SCSI controller</rasd:Description>
        <rasd:ElementName>SCSI controller 0</rasd:ElementName>
        <rasd:InstanceID>3</rasd:InstanceID>
        <rasd:ResourceSubType>VirtualSCSI</rasd:ResourceSubType>
        <rasd:ResourceType>6</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AddressOnParent>0</rasd:AddressOnParent>
        <rasd:ElementName>Hard disk 1</rasd:ElementName>
        <rasd:HostResource>ovf:/disk/vmdisk1</rasd:HostResource>
        <rasd:InstanceID>4</rasd:InstanceID>
        <rasd:Parent>3</rasd:Parent>
        <rasd:ResourceType>17</rasd:ResourceType>
      </Item>
      <Item>
        <rasd:AddressOnParent>7</rasd:AddressOnParent>
        <rasd:AutomaticAllocation>true</rasd:AutomaticAllocation>
        <rasd:Connection>{network}</rasd:Connection>
        <rasd:ElementName>Network adapter 1</rasd:ElementName>
        <rasd:InstanceID>5</rasd:InstanceID>
        <rasd:ResourceSubType>VmxNet3</rasd:ResourceSubType>
        <rasd:ResourceType>10</rasd:ResourceType>
      </Item>
      <Item ovf:required="false">
        <rasd:AutomaticAllocation>false</rasd:AutomaticAllocation>
        <rasd:ElementName>Video card</rasd:ElementName>
        <rasd:InstanceID>6</rasd:InstanceID>
        <rasd:ResourceType>24</rasd:ResourceType>
      </Item>
      <vmw:Config ovf:required="false" vmw:key="firmware" vmw:value="{firmware}"/>
      <vmw:Config ovf:required="false" vmw:key="bootOptions.efiSecureBootEnabled" vmw:value="{secure_boot}"/>
    </VirtualHardwareSection>
  </VirtualSystem>
</Envelope>
"#
        )
    }
}

/// Text for XML 1.0, in elements and attributes; a character that XML cannot have becomes U+FFFD.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // As it is, it would come back as a space.
            '\t' | '\n' | '\r' => escaped.push_str(&format!("&#{};", u32::from(c))),
            '\0'..' ' | '\u{fffe}' | '\u{ffff}' => escaped.push(char::REPLACEMENT_CHARACTER),
            _ => escaped.push(c),
        }
    }
    escaped
}
